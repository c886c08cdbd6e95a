"""`telephone-asr`: what people do that is no stage of the pipeline. One module a command."""

from __future__ import annotations

import argparse

from telephone_asr.commands import (
    data,
    doctor,
    evaluate,
    gate,
    package,
    profile,
    review,
    score,
    simulate,
    storage,
    transcribe,
    unpack,
)
from telephone_asr.program import run

# As --help lists them.
COMMANDS = (
    *(profile, doctor, data, simulate, unpack, transcribe),
    *(evaluate, score, gate, review, package, storage),
)


def main() -> None:
    run(_main)  # all of it: --help prints Chinese too


def _main() -> None:
    parser = argparse.ArgumentParser(prog="telephone-asr", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
