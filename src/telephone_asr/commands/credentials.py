"""Refuses credentials in .dvc/config, which git keeps, and with it everybody who has a clone."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from telephone_asr.errors import InputError

DVC_CONFIG = Path(".dvc/config")
# As DVC's schema has them, of all kinds of remotes.
SECRET = re.compile(
    "password|passphrase|secret|token|connection_string|(access|account|customer)_key|oss_key_id"
)
# These ask for a secret, or say how to get one.
NO_SECRET = re.compile("^ask_|_command$")


def check_credentials(config: Path = DVC_CONFIG) -> None:
    """Raises InputError for the first secret in a file of DVC's configuration."""
    from configobj import ConfigObj, ConfigObjError

    try:
        sections = ConfigObj(str(config), list_values=False, encoding="utf-8")
    except (ConfigObjError, UnicodeError) as error:
        raise InputError(f"{config} is no configuration of DVC: {error}.") from None
    for section, keys in sections.items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            name = re.sub(r"remote ?|['\"]", "", section)
            change = f"dvc remote modify --local {name}" if "remote" in section else "dvc config"
            if SECRET.search(key) and not NO_SECRET.search(key):
                raise InputError(
                    f"{config}: {key} of {section} is a secret, and git keeps this file: take the "
                    f"line out, put a new one into .dvc/config.local (`{change} {key} ...`), and "
                    "withdraw the old one."
                )
            if key.endswith("url") and urlsplit(value).password is not None:
                raise InputError(
                    f"{config}: {key} of {section} has a password in it, and git keeps this file: "
                    f"take it out, put a new one into .dvc/config.local (`{change} password ...`), "
                    "and withdraw the old one."
                )
