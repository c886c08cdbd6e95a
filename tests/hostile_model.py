"""A model directory that tries to run code, and a program that watches what is done with one.

    python tests/hostile_model.py DIRECTORY SOUND

prints each thing that a model directory has no business to bring about, while the directory is
loaded as every command and stage does it, copied to models/base, exported and read by FunASR.
"""

import contextlib
import json
import os
import pickle
import sys
from pathlib import Path

MODULES = ("model", "modeling_evil", "tokenization_evil", "configuration_evil", "generate", "setup")


class Runs:
    """A pickle of it runs a command."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def make_hostile(directory: Path, marker: Path) -> None:
    """Puts into each file of a good model whatever could make its readers run code, fetch something
    or read a file elsewhere; whatever is run appends to `marker`."""
    from omegaconf import OmegaConf

    code = f"open({str(marker)!r}, 'a').write(__name__ + '\\n')\n"
    places = [directory, directory / "Qwen3-0.6B", directory / "Qwen3-0.6B" / "custom_generate"]
    for place in places:
        place.mkdir(exist_ok=True)
        for name in (*MODULES, "__init__"):
            (place / f"{name}.py").write_text(code, encoding="utf-8")
        (place / "requirements.txt").write_text(f"{directory}\n", encoding="utf-8")
    evil = directory / "evil.pt"
    evil.write_bytes(pickle.dumps(Runs(f"echo pickle >> '{marker}'")))

    trust = {"trust_remote_code": True, "remote_code": str(directory / "model.py")}
    path = directory / "config.yaml"
    config = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    config |= {**trust, "hub": "ms", "model_path": str(directory), "init_param": str(evil)}
    config |= {"vad_model": str(directory), "punc_model": str(directory), "spk_model": "cam++"}
    config |= {"device": "cpu", "ncpu": 64, "excludes": [], "scope_map": [], "oss_bucket": "x"}
    config["frontend_conf"] |= {"cmvn_file": None, "init_param_path": str(evil)}
    config["audio_encoder_conf"] |= {"hub": "ms", "activation_checkpoint": True}
    config["llm_conf"] |= {"load_kwargs": {"trust_remote_code": True, "attn_implementation": "a/b"}}
    config["llm_conf"]["lora_conf"] |= {"megatron_core": "model"}
    config["tokenizer_conf"] |= {**trust, "tokenizer_type": "evil", "token_list": str(evil)}
    config["ctc_decoder_conf"] |= {"init_param_path": str(evil)}
    config["dataset_conf"] |= {"batch_sampler": "BatchSampler", "secret": "${oc.env:HOME}"}
    OmegaConf.save(OmegaConf.create(config), path)

    _update(
        directory / "configuration.json",
        {"plugins": ["evil"], "allow_remote": True, "model": {"type": "evil"}, "pipeline": {}},
    )
    _update(
        directory / "Qwen3-0.6B" / "config.json",
        {
            "auto_map": {
                "AutoConfig": "configuration_evil.Config",
                "AutoModelForCausalLM": "modeling_evil.Model",
            },
            "attn_implementation": "kernels-community/evil",
            "_attn_implementation": "kernels-community/evil",
            "quantization_config": {"quant_method": "gptq"},
            "custom_pipelines": {"x": {"impl": "model.X"}},
            "_name_or_path": "evil/model",
            "trust_remote_code": True,
        },
    )
    _update(
        directory / "Qwen3-0.6B" / "tokenizer_config.json",
        {
            "auto_map": {"AutoTokenizer": ["tokenization_evil.T", "tokenization_evil.T"]},
            "vocab_file": "/etc/passwd",
            "tokenizer_file": "/etc/passwd",
            "processor_class": "Evil",
            "trust_remote_code": True,
        },
    )
    (directory / "Qwen3-0.6B" / "generation_config.json").write_text(
        json.dumps({"eos_token_id": 2, "custom_generate": "model", "trust_remote_code": True})
    )


def _update(path: Path, more: dict) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **more}), encoding="utf-8")


def watch(directory: Path, say) -> None:
    """Says what no model directory may bring about: reading its other files, processes, sockets."""
    used = {"config.yaml", "configuration.json", "model.pt", "multilingual.tiktoken"}
    used |= {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
    root = os.path.realpath(directory)

    def hook(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str):
            path = os.path.realpath(arguments[0])
            inside = path.startswith(root + os.sep) and not os.path.isdir(path)
            if path == "/etc/passwd" or (inside and os.path.basename(path) not in used):
                say(f"opened {path}")
        elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
            say(f"{event} {arguments[:2]}")
        elif event in ("socket.connect", "socket.getaddrinfo", "urllib.Request"):
            say(f"{event} {arguments[1:3]}")

    sys.addaudithook(hook)


def main(directory: Path, sound: Path) -> None:
    os.environ["HOME"] = "/the-home-of-the-user"
    import torch

    from telephone_asr.calls.many import Work
    from telephone_asr.calls.recording import Choice
    from telephone_asr.commands.transcribe import transcribe_paths
    from telephone_asr.model import export, parts, pretrained
    from telephone_asr.params import Base, load_params
    from telephone_asr.stages.base import copy_model

    pretrained.load(Path("good"))  # imports what it takes, unwatched
    for name, module in list(sys.modules.items()):
        for value in list(vars(module).values()) if module else ():
            if type(value) is torch.Tensor and value.is_meta:
                print(f"DID: {name} was imported while tensors had no memory")
    base: Base = load_params(changes=[f"base.path={json.dumps(str(directory))}"]).base
    watch(directory, lambda text: print(f"DID: {text}", flush=True))
    with contextlib.suppress(SystemExit):  # a random model's text does not end
        transcribe_paths([sound], Work(directory, Choice(whole=True), 1, None))
    copy_model(base, Path("models/base"))
    export.export(parts.load_checkpoint(Path("models"), "base", 16000), Path("models/final"), False)

    from funasr import AutoModel

    recogniser = AutoModel(
        **{"model": "models/final", "disable_update": True, "device": "cpu"},
        **{"disable_pbar": True, "log_level": "ERROR", "ncpu": 1},
    )
    print("FUNASR:", recogniser.generate(str(sound), max_length=3)[0]["key"])


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
