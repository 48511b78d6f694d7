"""Tiny checkpoints built from a config, and a few rows that can be learnt: for contract tests, never for a result."""

import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

EXPORTS = ["onnx", "onnx-int8"]
EXPORT = "export: {format: onnx, max_drop: 1.0}"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, *"abcdefghijklmnopqrstuvwxyz0123456789", "good", "bad"]


def _text(folder: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    (folder / "vocab.txt").write_text("\n".join(WORDS))
    tokenizer = BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _image(folder: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    config = ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)


def _text2text(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    words = ["<pad>", "</s>", "<unk>", *WORDS[len(SPECIAL) :]]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    names = ["input_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_input_names=names
    ).save_pretrained(folder)
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=len(words), decoder_start_token_id=0, **sizes)
    T5ForConditionalGeneration(config).save_pretrained(folder)


def _audio(folder: Path) -> None:
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    Wav2Vec2ForSequenceClassification(_wav2vec2()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


def _speech(folder: Path) -> None:
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2Model

    Wav2Vec2Model(_wav2vec2()).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


def _detection(folder: Path) -> None:
    from transformers import YolosConfig, YolosForObjectDetection, YolosImageProcessor

    config = YolosConfig(
        image_size=[16, 16],
        patch_size=8,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_detection_tokens=5,
    )
    YolosForObjectDetection(config).save_pretrained(folder)
    YolosImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)


def _wav2vec2() -> object:
    from transformers import Wav2Vec2Config

    return Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(16, 16),
        conv_kernel=(10, 8),
        conv_stride=(20, 16),
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=16,
        mask_time_prob=0.0,
        layerdrop=0.0,
    )


def _writer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<end>", "<unk>", *WORDS[len(SPECIAL) :]]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ["input_ids", "attention_mask"]
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>", model_input_names=names, model_max_length=64
    ).save_pretrained(folder)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 320, "vocab_size": len(words)}
    GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0, **sizes)).save_pretrained(folder)


def clip_tokenizer(*names: str) -> object:
    """Of letters and digits, with the special tokens of CLIP; the end is not 2, by which CLIP knows old configs."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<|startoftext|>", "<unk>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate([*special, *WORDS[len(SPECIAL) :]])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    letters = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), letters])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special[1]} $A {special[3]}", special_tokens=[(special[1], 1), (special[3], 3)]
    )
    tokens = dict(zip(("pad_token", "bos_token", "unk_token", "eos_token"), special, strict=True))
    inputs = ["input_ids", *names]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, model_input_names=inputs, **tokens)


def _clip(folder: Path) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokenizer = clip_tokenizer("attention_mask")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 3}
    text = sizes | ids | {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
    config = CLIPConfig(text_config=text, vision_config=sizes | {"image_size": 16, "patch_size": 8}, projection_dim=16)
    CLIPModel(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)


def segformer_config() -> object:
    from transformers import SegformerConfig

    return SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=16,
        num_labels=2,
    )


def _segformer(folder: Path) -> None:
    from transformers import SegformerForSemanticSegmentation, SegformerImageProcessor

    SegformerForSemanticSegmentation(segformer_config()).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)


def _line_reader(folder: Path) -> None:
    from transformers import (
        TrOCRConfig,
        TrOCRProcessor,
        VisionEncoderDecoderConfig,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
    )

    from hftransfer.tasks._image_text import character_tokenizer, set_decoder

    tokenizer = character_tokenizer(["abcdefghijklmnopqrstuvwxyz 0123456789"])
    layers = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    encoder = ViTConfig(image_size=16, patch_size=8, **layers)
    sizes = {"d_model": 16, "decoder_layers": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": 32}
    decoder = TrOCRConfig(max_position_embeddings=32, **sizes)
    config = VisionEncoderDecoderConfig(encoder=encoder.to_dict(), decoder=decoder.to_dict())
    set_decoder(config, tokenizer, new_vocabulary=True)
    VisionEncoderDecoderModel(config).save_pretrained(folder)
    processor = ViTImageProcessor(size={"height": 16, "width": 16})
    TrOCRProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)


def speaker(folder: Path, bins: int = 20, speakers: int = 8) -> None:
    """A SpeechT5 of so many mel bins, and values in the vector of a speaker."""
    from transformers import SpeechT5Config, SpeechT5ForTextToSpeech

    from hftransfer.tasks._speech_synthesis import new_processor

    sizes = {f"{part}_{name}": 2 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
    sizes |= {"hidden_size": 16, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_mel_bins": bins}
    prenet = {"speech_decoder_prenet_units": 16, "speech_decoder_postnet_units": 16, "speaker_embedding_dim": speakers}
    # The groups of a convolution that only models of recordings have.
    config = SpeechT5Config(**sizes, **prenet, num_conv_pos_embedding_groups=2, encoder_max_relative_position=16)
    new_processor(config, ["abcdefghijklmnopqrstuvwxyz 0123456789.A"], 16_000).save_pretrained(folder)
    SpeechT5ForTextToSpeech(config).save_pretrained(folder)


def _wav2vec2_of(task) -> object:
    return _audio if task.auto_model == "AutoModelForAudioClassification" else _speech


# Model type, as a task declares it (`tiny_model`) -> what makes a checkpoint of it.
_CHECKPOINTS = {
    "bert": _text,
    "clip": _clip,
    "gpt2": _writer,
    "segformer": _segformer,
    "speecht5": speaker,
    "t5": _text2text,
    "vision-encoder-decoder": _line_reader,
    "vit": _image,
    "yolos": _detection,
}


class Turned:
    """A model whose answers are turned round."""

    def __init__(self, model):
        self.model = model

    def __call__(self, **inputs):
        from transformers.utils import ModelOutput

        return ModelOutput(logits=-self.model(**inputs).logits)


def checkpoint(task, folder: Path) -> Path:
    """A checkpoint that the task's processor and model classes load."""
    import torch

    if not folder.is_dir():
        folder.mkdir(parents=True)
        torch.manual_seed(0)
        make = _CHECKPOINTS.get(task.tiny_model) or _wav2vec2_of(task)
        make(folder)
    return folder


def _image_file(number: int, folder: Path) -> str:
    pixels = np.random.default_rng(number).integers(0, 60, (16, 16, 3)) + 150 * (number % 2)
    path = folder / f"{number}.png"
    Image.fromarray(pixels.astype("uint8")).save(path)
    return str(path)


def _mask_file(number: int, folder: Path) -> str:
    pixels = np.full((16, 16), number % 2, "uint8")
    # Not every pixel is labelled.
    pixels[0] = 255
    path = folder / f"mask-{number}.png"
    Image.fromarray(pixels).save(path)
    return str(path)


def _recording(number: int, folder: Path) -> str:
    import soundfile

    path, rate = folder / f"{number}.wav", 8000
    time = np.arange(rate // 4 + 40 * number) / rate
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * (300 + 900 * (number % 2)) * time), rate)
    return str(path)


# Feature type -> a cell that says its class: number % 2.
_CELLS = {
    "text": lambda number, folder: f"{['good', 'bad'][number % 2]} {number}",
    "words": lambda number, folder: [["good", "bad"][number % 2], str(number)],
    "image": _image_file,
    "mask": _mask_file,
    "audio": _recording,
    "labels": lambda number, folder: "xy"[number % 2],
    "objects": lambda number, folder: {
        "bbox": [[2, 3, 9, 8]] * (number % 3),
        "category": ["xy"[number % 2]] * (number % 3),
    },
}
_LABELS = {
    "classes": lambda number: "xy"[number % 2],
    "numbers": lambda number: number % 2 + 0.5,
    "lists": lambda number: ["xy"[number % 2], "z"],
}


def is_exported(task) -> bool:
    """Whether models of the task can be exported."""
    return not (task.pretraining or task.not_exported)


def row(task, number: int, folder: Path, labels: str = "classes") -> dict:
    """A row for the task's roles; what a feature type alone does not say, the task's `tiny_row` does."""
    given = task.tiny_row(number)
    # None: rows lack the column.
    features = {role: feature for role, feature in task.features.items() if given.get(role, "") is not None}
    cells = {role: given.get(role) or _CELLS[feature.name](number, folder) for role, feature in features.items()}
    return cells | ({"label": _LABELS[labels](number)} if "label" in cells.keys() - given.keys() else {})


def source(task, folder: Path, labels: str = "classes", count: int = 48) -> str:
    """A JSON source of rows for the task's roles, as a recipe writes it; labels: classes, numbers or lists."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{labels}.json"
    path.write_text("\n".join(json.dumps(row(task, i, folder, labels)) for i in range(count)))
    return "{name: json, train: " + str(path) + "}"


def items(task, folder: Path, count: int = 48) -> str:
    """The line of a recipe that gives the second table, with the ids that rows name; empty where there is none."""
    if not task.items:
        return ""
    ids = sorted({row(task, number, folder)[task.item_role] for number in range(count)})
    table = [
        {"id": name} | {role: _CELLS[it.name](number, folder) for role, it in task.items.items()}
        for number, name in enumerate(ids)
    ]
    path = folder / "items.json"
    path.write_text("\n".join(map(json.dumps, table)))
    return "items: {source: {name: json, train: " + str(path) + "}}"


def recipe(task, folder: Path, *, strategy: str | None = None, labels: str = "classes", more: str = "") -> str:
    """The text of a recipe that runs in seconds."""
    # A task that nothing trains.
    strategy = strategy or ("frozen" if "full" in task.refuses else "full")
    # Random weights never end a text: two tokens show as much as a hundred.
    lengths = {"max_target_length", "max_new_tokens", "stride"} & type(task).model_fields.keys()
    short = "".join(f", {name}: 2" for name in sorted(lengths))
    return f"""
task: {{name: {task.name}{short}}}
model: {{id: {checkpoint(task, folder / "checkpoint" / task.name)}}}
data:
  source: {source(task, folder / "rows", labels)}
  splits: {{validation: 8, test: 12}}
  {items(task, folder / "rows")}
strategy: {strategy}
training: {{num_train_epochs: 2, per_device_train_batch_size: 8, use_cpu: true, save_strategy: epoch}}
evaluation: {{baselines: [], resamples: 20}}
{more}
"""


def pushed(run: Path, result, repo: Path) -> Path:
    """The files of a run as they lie in a repository of the Hub; the card's snippets read them from this folder."""
    from hftransfer.hub.push import contents

    for name, content in contents(run, result, "someone/tiny", adapter=False).items():
        path = repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    card = repo / "README.md"
    card.write_text(card.read_text().replace('"someone/tiny"', repr(str(repo))))
    return repo


def card_snippets(task, run: Path, result, folder: Path) -> tuple[str, list[str]]:
    """The first input of a row, and the Python of the card of a run as it is pushed, with that input for its example.

    The first piece of code loads the model, the next one the export.
    """
    card = (pushed(run, result, folder / "repo") / "README.md").read_text()
    cells = row(task, 0, folder)
    given = next(cells[role] for role in task.inputs)
    given = " ".join(given) if isinstance(given, list) else given
    if task.name == "fill-mask":
        given = f"{given} [MASK]"
        card = card.replace("Put your {mask} here.", given)
    card = card.replace('Path(".")', f"Path({str(folder / 'repo')!r})").replace("Another.", "bad")
    card = re.sub(r"(image|speech)\.(png|wav)", str(given), card.replace("A text.", str(given)))
    return given, re.findall(r"```python\n(.*?)```", card, re.DOTALL)
