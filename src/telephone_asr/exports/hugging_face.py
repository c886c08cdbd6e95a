"""The format of Hugging Face's Transformers, `FunAsrNanoForConditionalGeneration` (from 5.17 on).

Its port has the published architecture only: an adaptor that stacks no rows. And it gives all of
the adaptor's rows to the language model, where Fun-ASR-Nano was trained with the first eighth
(`use_low_frame_rate`): the port's config has no key for that, and its mask of the sound is that of
the encoder too. So the two agree only where the caller gives the language model fewer rows, which
`generate(inputs_embeds=…)` takes: see `speech_rows`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from telephone_asr.errors import InputError
from telephone_asr.exports.calls import Call, Recognise
from telephone_asr.manifests.hotwords import AFTER, BEFORE
from telephone_asr.manifests.messages import PROMPT, PROMPT_VERBATIM
from telephone_asr.model.fun_asr_nano import SYSTEM, low_rate_tokens
from telephone_asr.model.pretrained import FunASRNano

if TYPE_CHECKING:
    import torch

AUDIO = "<|object_ref_start|>"  # stands for a row of the speech
# Content of one turn: audio, and any of keywords, language and text (asked in the prompt's place).
TEMPLATE = """{%- if SYSTEM %}<|im_start|>system
{{ SYSTEM }}<|im_end|>
{% endif -%}
{%- for message in messages -%}<|im_start|>{{ message.role + NEWLINE }}
{%- set turn = namespace(words='', to='', text='', audio='') -%}
{%- for part in message.content -%}
{%- if part.type == 'keywords' -%}
{%- set turn.words = BEFORE + part.keywords | join(', ') + AFTER -%}
{%- elif part.type == 'language' -%}{%- set turn.to = '成' + part.language -%}
{%- elif part.type == 'text' -%}{%- set turn.text = part.text -%}
{%- elif part.type == 'audio' -%}{%- set turn.audio = AUDIO -%}{%- endif -%}
{%- endfor -%}
{{ turn.words }}{{ turn.text or '语音转写' + turn.to + VERBATIM + '：' }}{{ turn.audio }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif -%}"""


def check(nano: FunASRNano) -> None:
    """Raises InputError where the port cannot hold the model."""
    stacked = nano.model.audio_adaptor.k
    if stacked != 1:
        raise InputError(
            f"params.yaml: export.formats: transformers: its adaptor stacks no rows, and this "
            f"model's stacks {stacked} (audio_adaptor_conf.downsample_rate, 1 in the published "
            "models): take it off the list."
        )


def write(nano: FunASRNano, directory: Path) -> None:
    """Writes config.json, model.safetensors, the processor and the tokenizer."""
    import torch
    from transformers import FunAsrNanoForConditionalGeneration, FunAsrNanoProcessor
    from transformers.models.fun_asr_nano.feature_extraction_fun_asr_nano import (
        FunAsrNanoFeatureExtractor,
    )

    check(nano)
    tokenizer, frontend = nano.tokenizer, nano.config["frontend_conf"]
    # A tokenizer that is not Qwen's has no such token, and the model no row for one more.
    audio = AUDIO if AUDIO in tokenizer.get_vocab() else tokenizer.pad_token
    token = tokenizer.convert_tokens_to_ids(audio)
    with torch.device("meta"):
        model = FunAsrNanoForConditionalGeneration(_config(nano, token))
    weights = dict(_weights(nano))
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    _check_whole(model, weights)
    model.generation_config.update(
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.pad_token_id,
        do_sample=False,
    )
    model.save_pretrained(directory)
    features = FunAsrNanoFeatureExtractor(
        feature_size=frontend["n_mels"],
        sampling_rate=frontend["fs"],
        frame_length=frontend["frame_length"],
        frame_shift=frontend["frame_shift"],
        num_frames_lfr=frontend["lfr_m"],
        stride_lfr=frontend["lfr_n"],
        window=frontend["window"],
    )
    FunAsrNanoProcessor(
        features, tokenizer, chat_template=_template(nano, audio), audio_token=audio
    ).save_pretrained(directory)


def _template(nano: FunASRNano, audio: str) -> str:
    system = SYSTEM if nano.config["dataset_conf"].get("sys_prompt", True) else ""
    verbatim = "" if nano.config.get("itn", True) else PROMPT_VERBATIM[len(PROMPT) - 1 : -1]
    values = {"SYSTEM": system, "VERBATIM": verbatim, "AUDIO": audio}
    values |= {"BEFORE": BEFORE, "AFTER": f"{AFTER}\n", "NEWLINE": "\n"}
    heads = (f"{{%- set {name} = {json.dumps(value)} -%}}\n" for name, value in values.items())
    return "".join([*heads, TEMPLATE])


def _config(nano: FunASRNano, token: int) -> Any:
    from transformers import FunAsrNanoConfig

    encoder, adaptor = (nano.config[f"audio_{name}_conf"] for name in ("encoder", "adaptor"))
    frontend, llm = nano.config["frontend_conf"], nano.model.llm.config
    blocks = encoder["num_blocks"] + encoder["tp_blocks"]
    audio = {
        "num_mel_bins": frontend["n_mels"],
        "num_stacked_frames": frontend["lfr_m"],
        "hidden_size": encoder["output_size"],
        "num_attention_heads": encoder["attention_heads"],
        "intermediate_size": encoder["linear_units"],
        "num_hidden_layers": blocks,
        "num_timestamp_prediction_layers": encoder["tp_blocks"],
        "fsmn_kernel_size": encoder["kernel_size"],
        "hidden_dropout": encoder["dropout_rate"],
        "attention_dropout": encoder["attention_dropout_rate"],
    }
    projector = {
        "hidden_size": adaptor["llm_dim"],
        "intermediate_size": adaptor["llm_dim"] // 4,
        "projector_hidden_size": adaptor["ffn_dim"],
        "num_hidden_layers": adaptor["n_layer"],
        "num_attention_heads": adaptor.get("attention_heads", 8),
        "layer_norm_eps": 1e-12,  # FunASR's of these layers; the encoder's is PyTorch's
    }
    return FunAsrNanoConfig(
        audio_config=audio | {"model_type": "fun_asr_nano_encoder"},
        adaptor_config=projector,
        text_config=llm.to_dict(),
        audio_token_id=token,
        tie_word_embeddings=llm.tie_word_embeddings,
        dtype="float32",
    )


def _weights(nano: FunASRNano) -> Iterator[tuple[str, torch.Tensor]]:
    """Gives the weights by Transformers' names; the CTC branch has none there."""
    blocks = nano.config["audio_encoder_conf"]["num_blocks"]
    tower, projector = "model.audio_tower.layers", "model.multi_modal_projector"
    last = blocks + nano.config["audio_encoder_conf"]["tp_blocks"] - 1
    parts = {
        "audio_encoder.encoders0.0.": f"{tower}.0.",
        **{f"audio_encoder.encoders.{i}.": f"{tower}.{i + 1}." for i in range(blocks - 1)},
        **{f"audio_encoder.tp_encoders.{i}.": f"{tower}.{blocks + i}." for i in range(last)},
        "audio_encoder.after_norm.": f"{tower}.{blocks - 1}.final_layernorm.",
        "audio_encoder.tp_norm.": f"{tower}.{last}.final_layernorm.",
        "audio_adaptor.linear1.": f"{projector}.linear_1.",
        "audio_adaptor.linear2.": f"{projector}.linear_2.",
        "audio_adaptor.blocks.": f"{projector}.layers.",
        "llm.model.": "model.language_model.",
        "llm.lm_head.": "lm_head.",
    }
    names = {
        "norm1": "input_layernorm",
        "norm2": "post_attention_layernorm",
        "feed_forward.w_1": "mlp.fc1",
        "feed_forward.w_2": "mlp.fc2",
        "self_attn.linear_out": "self_attn.o_proj",
        "self_attn.fsmn_block": "self_attn.fsmn.conv",
        **{f"self_attn.linear_{name}": f"self_attn.{name}_proj" for name in "qkv"},
    }
    for name, tensor in nano.model.state_dict().items():
        for old, new in parts.items():
            if not name.startswith(old):
                continue
            rest = name.removeprefix(old)
            for own, theirs in names.items():
                if not name.startswith("llm."):
                    rest = rest.replace(f"{own}.", f"{theirs}.")
            if "linear_q_k_v" in rest:
                for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                    yield new + rest.replace("linear_q_k_v", f"{letter}_proj"), part.contiguous()
            else:
                yield new + rest, tensor


def _check_whole(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Raises RuntimeError unless every weight of the one model is one of the other."""
    own = model.state_dict()
    odd = [name for name in {*own, *weights} if name not in own or name not in weights]
    odd += [name for name, tensor in own.items() if tensor.is_meta]
    if set(odd) - {"lm_head.weight"}:
        raise RuntimeError(f"Transformers' Fun-ASR-Nano has other weights: {sorted(odd)[:5]}")


def load(directory: Path, max_tokens: int, all_rows: bool = False) -> Recognise:
    """Returns Transformers' model with what was written, given the first eighth of the rows.

    Args:
        all_rows: it is given all of them, as the port does by itself.
    """
    import torch
    from transformers import AutoProcessor, FunAsrNanoForConditionalGeneration

    processor = AutoProcessor.from_pretrained(directory, local_files_only=True)
    model = FunAsrNanoForConditionalGeneration.from_pretrained(directory, local_files_only=True)
    rate_hz = processor.feature_extractor.sampling_rate

    @torch.inference_mode()
    def recognise(call: Call) -> str:
        inputs = processor.apply_transcription_request(
            sound(call, rate_hz), prompt=PROMPT_VERBATIM if call.verbatim else PROMPT
        )
        if all_rows:
            tokens = model.generate(**inputs, max_new_tokens=max_tokens)
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        else:
            embeds = speech_rows(model, inputs)
            mask = torch.ones(embeds.shape[:2], dtype=torch.long)
            tokens = model.generate(
                inputs_embeds=embeds, attention_mask=mask, max_new_tokens=max_tokens
            )
        return processor.decode(tokens[0], skip_special_tokens=True).strip()

    return recognise


def speech_rows(model: Any, inputs: Any) -> torch.Tensor:
    """Returns what the language model is to read, (1, n, D): of one utterance's speech the rows
    that Fun-ASR-Nano was trained with."""
    import torch

    features = inputs["input_features"], inputs["input_features_mask"]
    rows = model.get_audio_features(*features).pooler_output
    rows = rows[: low_rate_tokens(len(rows))]
    ids = inputs["input_ids"][0]
    places = (ids == model.config.audio_token_id).nonzero().flatten()
    before, after = model.get_input_embeddings()(ids).tensor_split([places[0], places[-1] + 1])[::2]
    return torch.cat([before, rows, after])[None]


def sound(call: Call, rate_hz: int) -> np.ndarray:
    """Returns the samples at the rate that the port insists on, resampled as FunASR does it, in
    steps of 16 bits: it takes them as they are, and its logarithm has a floor of 1.2e-7, which
    between -1 and 1 lies above what is quiet."""
    import torch
    from torchaudio.functional import resample

    samples = torch.from_numpy(call.samples.astype(np.float32))
    return resample(samples, call.rate_hz, rate_hz).numpy()
