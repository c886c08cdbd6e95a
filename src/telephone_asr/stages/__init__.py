"""One short module for each stage of dvc.yaml: read params, call the library, write outs.

Stages run from the repository's root, as `PYTHONPATH=src python -m telephone_asr.stages.<name>`: an
experiment in a directory of its own then runs its own code, not what is installed.
"""
