"""The one exception a user's mistake raises."""


class InputError(Exception):
    """Something the user gave is wrong.

    The message is one sentence that names the file, line or key, what was expected and what to do.
    Stages and the command line print it without a traceback and exit with status 1.
    """
