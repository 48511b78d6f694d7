"""Every recipe of the Hub, word for word, against a Hub that holds tiny models and a few rows under the same ids.

The models are of the architectures of the real ones, the rows have their columns and types.
"""

import io
import json
import string

import _families
import _recipes
import numpy as np
import pytest
import tiny
from conftest import HUB
from PIL import Image as Pillow

from hftransfer.cli import main
from hftransfer.core import plugins
from hftransfer.core.results import RunResult
from hftransfer.recipe.loader import load_recipe

RECIPES = [path for path in _recipes.paths() if _recipes.is_hub_recipe(load_recipe(path))]

BEANS = ["angular_leaf_spot", "bean_rust", "healthy"]
THINGS = ["Coverall", "Face_Shield", "Gloves", "Goggles", "Mask"]
TAGS = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
INTENTS = [f"intent_{i}" for i in range(14)]


def _png(number, label):
    pixels = np.random.default_rng(number).integers(0, 60, (20, 24, 3)) + 190 * (label % 2)
    buffer = io.BytesIO()
    Pillow.fromarray(pixels.clip(0, 255).astype("uint8")).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": f"{number}.png"}


def _wav(number, label, rate):
    import soundfile

    time = np.arange(rate // 4 + 10 * number) / rate
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.4 * np.sin(2 * np.pi * (200 + 50 * label) * time), rate, format="WAV")
    return {"bytes": buffer.getvalue(), "path": f"{number}.wav"}


def _images(names, column, counts):
    from datasets import ClassLabel, Image

    features = {"image": Image(), column: ClassLabel(names=names)}
    return features, counts, lambda i: {"image": _png(i, i % len(names)), column: i % len(names)}


def _texts(names, columns, counts):
    from datasets import ClassLabel, Value

    text, label = columns
    features = {text: Value("string"), label: ClassLabel(names=names)}
    return features, counts, lambda i: {text: f"{['good', 'bad'][i % 2]} {i}", label: i % len(names)}


def _cppe5():
    from datasets import ClassLabel, Image, List, Value

    number, box = Value("int64"), List(Value("float32"), length=4)
    objects = {"id": List(number), "area": List(number), "bbox": List(box), "category": List(ClassLabel(names=THINGS))}
    features = {"image_id": number, "image": Image(), "width": Value("int32"), "height": Value("int32")}

    def row(i):
        found = {"id": [i], "area": [80], "bbox": [[2, 3, 10, 8]], "category": [i % len(THINGS)]}
        return {"image_id": i, "image": _png(i, i), "width": 24, "height": 20, "objects": found}

    return features | {"objects": objects}, {"train": 30, "test": 10}, row


def _wikiann():
    from datasets import ClassLabel, List, Value

    text = List(Value("string"))
    features = {"tokens": text, "ner_tags": List(ClassLabel(names=TAGS)), "langs": text, "spans": text}
    rows = {"train": 60, "validation": 20, "test": 20}

    def row(i):
        return {"tokens": ["good", str(i)], "ner_tags": [1 + i % 6, 0], "langs": ["en", "en"], "spans": ["PER: good"]}

    return features, rows, row


def _opus_books():
    from datasets import Translation, Value

    features = {"id": Value("string"), "translation": Translation(languages=["en", "fr"])}
    words = ["good", "bad"]

    def row(i):
        return {"id": str(i), "translation": {"en": f"{words[i % 2]} {i}", "fr": f"{words[i % 2]}"}}

    return features, {"train": 120}, row


def _minds14():
    from datasets import Audio, ClassLabel, Value

    features = {
        "path": Value("string"),
        "audio": Audio(sampling_rate=8000),
        "transcription": Value("string"),
        "english_transcription": Value("string"),
        "intent_class": ClassLabel(names=INTENTS),
        "lang_id": ClassLabel(names=["en-US"]),
    }

    def row(i):
        said = {"transcription": "pay a bill", "english_transcription": "pay a bill"}
        return {"path": f"{i}.wav", "audio": _wav(i, i % 14, 8000), "intent_class": i % 14, "lang_id": 0} | said

    return features, {"train": 154}, row


def _guarani():
    from datasets import Audio, Value

    features = {"audio": Audio(sampling_rate=48000), "sentence": Value("string")}
    splits = {"train": 24, "validation": 8, "test": 8}
    return features, splits, lambda i: {"audio": _wav(i, i % 3, 48000), "sentence": ["mba'éichapa", "iporã"][i % 2]}


def _foodseg():
    from datasets import Image, List, Value

    number = Value("int64")
    features = {"image": Image(), "label": Image(), "classes_on_image": List(number), "id": number}

    def row(i):
        buffer = io.BytesIO()
        Pillow.fromarray(np.full((20, 24), i % 3, "uint8")).save(buffer, "PNG")
        mask = {"bytes": buffer.getvalue(), "path": f"mask-{i}.png"}
        return {"image": _png(i, i), "label": mask, "classes_on_image": [i % 3], "id": i}

    return features, {"train": 40, "validation": 12}, row


def _squad():
    from datasets import List, Value

    text = Value("string")
    answers = {"text": List(text), "answer_start": List(Value("int32"))}
    features = {"id": text, "title": text, "context": text, "question": text, "answers": answers}

    def row(i):
        word = ["good", "bad"][i % 2]
        found = {"text": [word], "answer_start": [2]}
        return {"id": str(i), "title": "a", "context": f"b {word} {i} " + "c " * 80, "question": "a", "answers": found}

    return features, {"train": 120, "validation": 20}, row


def _dialects():
    from datasets import Audio, Value

    text = Value("string")
    features = {"line_id": text, "audio": Audio(sampling_rate=48000), "text": text, "speaker_id": Value("int64")}

    def row(i):
        return {"line_id": f"a{i}", "audio": _wav(i, i % 3, 48000), "text": f"good {i}", "speaker_id": 100 + i % 3}

    return features, {"train": 110}, row


def _stsb():
    from datasets import Value

    features = {"sentence1": Value("string"), "sentence2": Value("string"), "score": Value("float64")}
    words = ["good", "bad"]

    def row(i):
        return {"sentence1": f"{words[i % 2]} {i}", "sentence2": f"{words[i // 2 % 2]} {i}", "score": i % 6 / 5}

    return features, SPLITS, row


def _chestmnist():
    """Of a vector with a 0 or 1 for each finding; a picture may have none."""
    from datasets import Image, List, Value

    features = {"path": Value("string"), "label": List(Value("uint8")), "image": Image()}

    def row(i):
        found = [int(i % 15 in (place, place + 1)) for place in range(14)]
        return {"path": f"{i}.png", "label": found, "image": _png(i, i)}

    return features, {"train": 60, "validation": 30, "test": 30}, row


def _librispeech():
    """Readers whose numbers differ between the splits."""
    from datasets import Audio, Value

    whole, text = Value("int64"), Value("string")
    features = {"file": text, "audio": Audio(sampling_rate=16000), "text": text}
    features |= {"speaker_id": whole, "chapter_id": whole, "id": text}

    def row(i):
        speaker = 100 * (i // 1000) + i % 4
        recorded = {"file": f"{i}.flac", "audio": _wav(i % 1000, speaker % 7, 16000), "text": "A"}
        return recorded | {"speaker_id": speaker, "chapter_id": 1, "id": str(i)}

    return features, {"train.100": 24, "validation": 12, "test": 12}, row


SPLITS = {"train": 48, "validation": 16, "test": 16}
DATA = {
    "AI-Lab-Makerere/beans": lambda: _images(BEANS, "labels", SPLITS),
    "hf-vision/chest-xray-pneumonia": lambda: _images(["NORMAL", "PNEUMONIA"], "label", SPLITS),
    "timm/oxford-iiit-pet": lambda: _images([f"breed_{i}" for i in range(37)], "label", {"train": 370, "test": 37}),
    "ethz/food101": lambda: _images([f"dish_{i}" for i in range(101)], "label", {"train": 2020, "validation": 101}),
    "rishitdagli/cppe-5": _cppe5,
    "stanfordnlp/sst2": lambda: _texts(
        ["negative", "positive"], ("sentence", "label"), {"train": 150, "validation": 20}
    ),
    "ucirvine/sms_spam": lambda: _texts(["ham", "spam"], ("sms", "label"), {"train": 60}),
    "unimelb-nlp/wikiann": _wikiann,
    "Helsinki-NLP/opus_books": _opus_books,
    "PolyAI/minds14": _minds14,
    "mfidabel/gn_common_voice_15": _guarani,
    "EduardoPacheco/FoodSeg103": _foodseg,
    "ylacombe/english_dialects": _dialects,
    "rajpurkar/squad": _squad,
    "sentence-transformers/stsb": _stsb,
    "danjacobellis/chestmnist_224": _chestmnist,
    "openslr/librispeech_asr": _librispeech,
}


def _data(repo, config):
    """Put rows where a recipe asks for them, as Parquet with the card that names their config."""
    import yaml
    from datasets import Audio, Dataset, Features, Value

    columns, splits, row = DATA[repo]()
    # Recordings are bytes already; to take them for such, `datasets` would want an encoder.
    plain = {"bytes": Value("binary"), "path": Value("string")}
    written = Features({name: plain if isinstance(it, Audio) else it for name, it in columns.items()})
    files = {}
    for start, (split, count) in enumerate(splits.items()):
        rows = Dataset.from_list([row(1000 * start + i) for i in range(count)], features=written)
        rows = rows.cast(Features(columns))
        buffer = io.BytesIO()
        rows.to_parquet(buffer)
        files[f"{config or 'data'}/{split}-00000-of-00001.parquet"] = buffer.getvalue()
    paths = [{"split": split, "path": f"{config or 'data'}/{split}-*"} for split in splits]
    head = yaml.safe_dump({"license": "mit", "configs": [{"config_name": config or "default", "data_files": paths}]})
    HUB.add(repo, files | {"README.md": f"---\n{head}---\n".encode()}, kind="datasets")


def _dinov2(folder):
    from transformers import BitImageProcessor, Dinov2Config, Dinov2Model

    config = Dinov2Config(image_size=28, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2)
    Dinov2Model(config).save_pretrained(folder)
    BitImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}).save_pretrained(folder)


def _swin(folder):
    from transformers import SwinConfig, SwinForImageClassification, ViTImageProcessor

    config = SwinConfig(image_size=32, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4, num_labels=1000)
    SwinForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def _masked(folder, tokenizer, model_class, **sizes):
    (folder / "vocab.txt").write_text("\n".join(tiny.WORDS))
    tokenizer(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(folder)
    config = model_class.config_class(vocab_size=len(tiny.WORDS), max_position_embeddings=64, **sizes)
    model_class(config).save_pretrained(folder)


def _mit(folder):
    """The encoder alone, as an image classifier."""
    from transformers import SegformerForImageClassification, SegformerImageProcessor

    SegformerForImageClassification(tiny.segformer_config()).save_pretrained(folder)
    SegformerImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def _distilbert(folder):
    from transformers import DistilBertForMaskedLM, DistilBertTokenizerFast

    _masked(folder, DistilBertTokenizerFast, DistilBertForMaskedLM, dim=16, n_layers=2, n_heads=2, hidden_dim=32)


def _bert(folder):
    from transformers import BertForMaskedLM, BertTokenizerFast

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    _masked(folder, BertTokenizerFast, BertForMaskedLM, **sizes)


def _wav2vec2(folder):
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2Processor

    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_uppercase, "'"]
    vocabulary = folder / "words.json"
    vocabulary.write_text(json.dumps({letter: i for i, letter in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(vocabulary))
    vocabulary.unlink()
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = tiny._wav2vec2()
    config.vocab_size = len(letters)
    Wav2Vec2ForCTC(config).save_pretrained(folder)


def _whisper(folder):
    from tokenizers import ByteLevelBPETokenizer
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    special = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|translate|>",
        "<|transcribe|>",
        "<|notimestamps|>",
    ]
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(["pay a bill"], 300, special_tokens=special, show_progress=False)
    tokenizer = WhisperTokenizer(*trained.save_model(str(folder)), additional_special_tokens=special[1:])
    WhisperProcessor(WhisperFeatureExtractor(chunk_length=2), tokenizer).save_pretrained(folder)
    end, start, english, translate, transcribe, plain = tokenizer.convert_tokens_to_ids(special)
    ends = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    sizes |= {
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
        "max_target_positions": 160,
        "max_source_positions": 100,
    }
    model = WhisperForConditionalGeneration(WhisperConfig(vocab_size=len(tokenizer), **ends, **sizes))
    told = {"is_multilingual": True, "lang_to_id": {"<|en|>": english}, "no_timestamps_token_id": plain}
    tasks = {"translate": translate, "transcribe": transcribe}
    model.generation_config.update(**ends, **told, task_to_id=tasks, max_length=150)
    model.save_pretrained(folder)


def _modernbert(folder):
    from transformers import BertTokenizerFast, ModernBertForMaskedLM

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    tokens = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    _masked(folder, BertTokenizerFast, ModernBertForMaskedLM, **sizes, **tokens)


def _deberta(folder):
    """A sentencepiece model and no tokenizer.json, as in the repository."""
    import sentencepiece
    from transformers import DebertaV2Config, DebertaV2ForMaskedLM

    pieces = {"pad_piece": "[PAD]", "bos_piece": "[CLS]", "eos_piece": "[SEP]", "unk_piece": "[UNK]"}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(f"good {i} bad {i} text" for i in range(200)),
        model_prefix=str(folder / "spm"), vocab_size=40, pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        hard_vocab_limit=False, minloglevel=2, **pieces,
    )  # fmt: skip
    (folder / "spm.vocab").unlink()
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": false, "vocab_type": "spm"}')
    config = DebertaV2Config(
        vocab_size=64, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm",
        share_att_key=True, max_position_embeddings=128,
    )  # fmt: skip
    DebertaV2ForMaskedLM(config).save_pretrained(folder)


def _smollm(folder):
    from transformers import LlamaConfig, LlamaForCausalLM

    tiny._writer(folder)
    count = json.loads((folder / "config.json").read_text())["vocab_size"]
    config = LlamaConfig(
        vocab_size=count, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=32, max_position_embeddings=320, bos_token_id=0, eos_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def _siglip(folder):
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = sizes | {"vocab_size": 64, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
    vision = sizes | {"image_size": 32, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def _siglip_of_texts(folder):
    """With the tokenizer, and as many positions as a pipeline pads texts to."""
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = sizes | {"vocab_size": 64, "max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 3}
    config = SiglipConfig(text_config=text, vision_config=sizes | {"image_size": 32, "patch_size": 8})
    SiglipModel(config).save_pretrained(folder)
    images = SiglipImageProcessor(size={"height": 32, "width": 32})
    SiglipProcessor(images, tiny.clip_tokenizer()).save_pretrained(folder)


def _captions():
    from datasets import Image, Value

    features = {"image": Image(), "text": Value("string")}
    return features, {"train": 80}, lambda i: {"image": _png(i, i), "text": f"{['good', 'bad'][i % 2]} {i}"}


def _convnextv2(folder):
    from transformers import ConvNextImageProcessor, ConvNextV2Config, ConvNextV2ForImageClassification

    config = ConvNextV2Config(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, image_size=32, num_labels=1000)
    ConvNextV2ForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessor(size={"shortest_edge": 32}, crop_pct=0.875).save_pretrained(folder)


def _d_fine(folder):
    from transformers import DFineForObjectDetection, RTDetrImageProcessor

    config = _families._d_fine()
    config.num_labels = 80
    DFineForObjectDetection(config).save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def _moonshine(folder):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import (
        MoonshineConfig,
        MoonshineForConditionalGeneration,
        PreTrainedTokenizerFast,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2Processor,
    )

    special = ["<unk>", "<s>", "</s>"]
    bpe = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    bpe.train_from_iterator(["pay a bill"], trainers.BpeTrainer(special_tokens=special, show_progress=False))
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, **names)
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(return_attention_mask=True), tokenizer).save_pretrained(folder)
    parts = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    sizes = {f"{part}_{name}": size for part in ("encoder", "decoder") for name, size in parts.items()}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "decoder_start_token_id": 1}
    config = MoonshineConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, max_position_embeddings=64, **sizes, **ends
    )
    MoonshineForConditionalGeneration(config).save_pretrained(folder)


def _w2v_bert(folder):
    """As in the repository: an encoder without letters, and the extractor of SeamlessM4T."""
    from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    Wav2Vec2BertModel(Wav2Vec2BertConfig(**sizes, output_hidden_size=16)).save_pretrained(folder)
    SeamlessM4TFeatureExtractor().save_pretrained(folder)


def _speecht5(folder):
    tiny.speaker(folder, 80, 512)


def _hifigan(folder):
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    sizes = {"upsample_initial_channel": 16, "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]]}
    SpeechT5HifiGan(SpeechT5HifiGanConfig(**sizes)).save_pretrained(folder)


def _quotes():
    from datasets import List, Value

    features = {"quote": Value("string"), "author": Value("string"), "tags": List(Value("string"))}
    return features, {"train": 80}, lambda i: {"quote": f"good {i} bad", "author": "A", "tags": ["a"]}


DATA["Abirate/english_quotes"] = _quotes
DATA["lambdalabs/naruto-blip-captions"] = _captions
DATA["Teklia/IAM-line"] = lambda: (_captions()[0], SPLITS, _captions()[2])
MODELS = {
    "answerdotai/ModernBERT-base": _modernbert,
    "microsoft/deberta-v3-small": _deberta,
    "HuggingFaceTB/SmolLM2-135M": _smollm,
    "google/siglip2-base-patch16-224": _siglip,
    "google/siglip-base-patch16-224": _siglip_of_texts,
    "openai/clip-vit-base-patch32": tiny._clip,
    "facebook/convnextv2-tiny-1k-224": _convnextv2,
    "ustc-community/dfine-small-coco": _d_fine,
    "openai/whisper-large-v3-turbo": _whisper,
    "UsefulSensors/moonshine-tiny": _moonshine,
    "google/vit-base-patch16-224-in21k": tiny._image,
    "facebook/dinov2-small": _dinov2,
    "microsoft/swin-tiny-patch4-window7-224": _swin,
    "hustvl/yolos-tiny": tiny._detection,
    "distilbert/distilbert-base-uncased": _distilbert,
    "google-bert/bert-base-cased": _bert,
    "google-bert/bert-base-uncased": tiny._text,
    "sentence-transformers/all-MiniLM-L6-v2": tiny._text,
    "google-t5/t5-small": tiny._text2text,
    "microsoft/trocr-small-printed": tiny._line_reader,
    "facebook/wav2vec2-base-960h": _wav2vec2,
    "facebook/w2v-bert-2.0": _w2v_bert,
    "openai/whisper-tiny": _whisper,
    "nvidia/mit-b0": _mit,
    "microsoft/speecht5_tts": _speecht5,
    "microsoft/speecht5_hifigan": _hifigan,
}


def _model(hub, repo, revision, folder):
    """Put a tiny model where a recipe looks for it."""
    folder.mkdir()
    MODELS[repo](folder)
    added = hub.add(repo, {file.name: file.read_bytes() for file in folder.iterdir()})
    if revision:
        added.refs[revision] = added.refs["main"]


def _is_exported(recipe):
    # `test_contract` exports the models of `tiny`.
    return bool(recipe.export) and MODELS[recipe.model.id].__module__ != tiny.__name__


def _with_and_without_export():
    """Each recipe without its export, most of whose time is to trace a graph; with it in `scripts/torture matrix`."""
    exported = [path for path in RECIPES if _is_exported(load_recipe(path))]
    return [
        *(pytest.param(path, False, id=path.stem) for path in RECIPES),
        *(pytest.param(path, True, id=f"{path.stem}-exported", marks=pytest.mark.matrix) for path in exported),
    ]


@pytest.mark.parametrize(("path", "exported"), _with_and_without_export())
def test_a_recipe_of_the_hub_runs_word_for_word(path, exported, hub, tmp_path):
    recipe = load_recipe(path)
    # Three steps, four tokens and small images excepted, which show as much as an hour.
    short = ["training.max_steps=3", *(["export=null"] if not exported else [])]
    small = {"max_target_length": 4, "image_size": 32, "stride": 8}
    small = {name: size for name, size in small.items() if getattr(recipe.task, name, None) is not None}
    short += [f"task.{name}={size}" for name, size in small.items()]
    _model(hub, recipe.model.id, recipe.model.revision, tmp_path / "checkpoint")
    if vocoder := getattr(recipe.task, "vocoder", None):
        _model(hub, *vocoder.split("@"), tmp_path / "vocoder")
    _data(recipe.data.source.id, recipe.data.source.config)
    # Random weights may well lose a label in eight bits, and the variant is rejected: no result of anything.
    assert main(["run", str(path), *short, "--out", str(tmp_path / "run")]) in (0, 3)
    result = RunResult.load(tmp_path / "run" / "result.json")
    assert set(result.revisions) == {recipe.model.id, recipe.data.source.id}
    assert result.exports["onnx"].agreement > 0.95 if exported else not result.exports


def test_every_shape_of_task_has_a_recipe_of_the_hub():
    tasks = {load_recipe(path).task.name for path in RECIPES}
    # What learns without labels takes the rows of any of them.
    bare = {name for name in plugins.names("tasks") if plugins.load("tasks", name).pretraining}
    shown_on_samples = {"anomaly-detection", "audio-frame-classification", "recommendation"}
    others = {"fill-mask", "summarization", "text-generation"}
    assert set(plugins.names("tasks")) - tasks - bare <= others | shown_on_samples


def test_the_page_of_recipes_is_that_of_the_recipes():
    assert (_recipes.RECIPES / "README.md").read_text(encoding="utf-8") == _recipes.page(), "scripts/docs writes it"
