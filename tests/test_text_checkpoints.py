"""What checkpoints of texts take: tokens that have a position, ids that have an embedding, the token of a beginning."""

import json

import pytest
import tiny
import torch
import transformers

from hftransfer.core import plugins
from hftransfer.core.empty_model import empty_model
from hftransfer.core.errors import ModelError
from hftransfer.exporters import _transformers
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.plan import check
from hftransfer.tasks._limits import position_limit

BERT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
BART = {f"{part}_{name}": value for part in ("encoder", "decoder") for name, value in
        (("layers", 1), ("attention_heads", 2), ("ffn_dim", 16))} | {"d_model": 16}  # fmt: skip
PROPHETNET = {f"num_{part}_{name}": number for part in ("encoder", "decoder") for name, number in
              (("layers", 1), ("attention_heads", 2))} | {"hidden_size": 16, "ngram": 2}  # fmt: skip


@pytest.mark.parametrize(
    ("model_type", "fields", "limits"),
    [
        ("bert", BERT, (20, 20)),
        ("roberta", BERT, (18, 18)),
        ("xlm-roberta", BERT, (18, 18)),
        ("camembert", BERT, (18, 18)),
        ("longformer", BERT | {"attention_window": 4}, (18, 18)),
        ("mpnet", BERT, (18, 18)),
        ("esm", BERT | {"pad_token_id": 1, "mask_token_id": 4, "position_embedding_type": "absolute"}, (18, 18)),
        ("markuplm", BERT, (19, 19)),
        ("deberta-v2", BERT | {"position_biased_input": False, "relative_attention": True}, (None, None)),
        ("bart", BART, (20, 20)),
        ("marian", BART | {"pad_token_id": 0, "decoder_start_token_id": 0}, (20, 20)),
        ("fsmt", BART | {"src_vocab_size": 40, "tgt_vocab_size": 40, "langs": ["en", "de"]}, (20, 20)),
        ("prophetnet", PROPHETNET, (19, 18)),
        ("led", BART | {"max_encoder_position_embeddings": 20, "max_decoder_position_embeddings": 12}, (20, 12)),
    ],
)
def test_as_many_tokens_fit_as_have_a_position(model_type, fields, limits):
    config = transformers.AutoConfig.for_model(model_type, vocab_size=40, max_position_embeddings=20, **fields)
    auto_model = "AutoModelForSeq2SeqLM" if config.is_encoder_decoder else "AutoModel"
    empty = empty_model(auto_model, config)
    assert tuple(position_limit(empty, generates=generates) for generates in (False, True)) == limits
    if limits[0] is None or config.is_encoder_decoder:
        if model_type == "prophetnet":
            model = transformers.AutoModelForSeq2SeqLM.from_config(config).eval()
            model(input_ids=torch.full((1, 19), 5), decoder_input_ids=torch.full((1, 18), 5))
            with pytest.raises((IndexError, RuntimeError)):
                model(input_ids=torch.full((1, 19), 5), decoder_input_ids=torch.full((1, 19), 5))
        return
    model = getattr(transformers, auto_model).from_config(config).eval()
    model(input_ids=torch.full((1, limits[0]), 5))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, limits[0] + 1), 5))


def _translation(folder, **fields):
    """A recipe whose checkpoint has other fields in its configs; None takes one out."""
    text = tiny.recipe(plugins.load("tasks", "translation")(), folder)
    for name in ("config.json", "generation_config.json"):
        file = folder / "checkpoint" / "translation" / name
        changed = json.loads(file.read_text()) | fields.get(name.removesuffix(".json"), {})
        file.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))
    return text


NO_START = {"decoder_start_token_id": None}


def test_a_model_without_a_first_token_is_refused_before_the_training(tmp_path):
    text = _translation(tmp_path, config=NO_START, generation_config=NO_START)
    with pytest.raises(ModelError, match=r"this t5 has no decoder_start_token_id: give model\.config\.decoder_start"):
        check(parse_recipe(text))
    plan = check(parse_recipe(text, overrides=["model.config={decoder_start_token_id: 0}"]))
    assert plan.origin.config.decoder_start_token_id == 0
    with pytest.raises(ModelError, match=r"begin with the token 41, and the t5 has embeddings for 41 tokens, 0 to 40"):
        check(parse_recipe(text, overrides=["model.config={decoder_start_token_id: 41}"]))


def test_the_first_token_may_stand_in_the_generation_config_alone(tmp_path):
    text = _translation(tmp_path, config=NO_START, generation_config={"decoder_start_token_id": 2})
    assert check(parse_recipe(text)).origin.config.decoder_start_token_id == 2


@pytest.mark.parametrize("model_type", ["t5", "longt5", "bart", "pegasus", "prophetnet"])
def test_new_sequence_to_sequence_models_need_a_first_token(model_type, tmp_path):
    named = "" if model_type in ("t5", "longt5") else ", decoder_start_token_id: null"
    overrides = [
        "strategy=scratch",
        "model.id=null",
        f"model.config={{model_type: {model_type}, vocab_size: 300{named}}}",
    ]
    with pytest.raises(ModelError, match=f"this {model_type} has no decoder_start_token_id"):
        check(parse_recipe(_translation(tmp_path), overrides=overrides))


@pytest.mark.skipif(not _transformers.is_available(), reason="tokenizers of Transformers 4 are made from files alone")
@pytest.mark.parametrize("name", ["MBart", "MBart50"])
def test_a_language_behind_the_text_is_the_first_token_and_one_before_it_is_forced(name, tmp_path):
    words = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁good", -1.0), ("▁a", -1.0), ("en_XX", 0.0)]
    tokenizer = getattr(transformers, f"{name}Tokenizer")(vocab=[*words, ("de_DE", 0.0)])
    tokenizer.save_pretrained(tmp_path)
    language = tokenizer.convert_tokens_to_ids("de_DE")
    start = None if name == "MBart" else 2
    config = transformers.MBartConfig(vocab_size=len(tokenizer), decoder_start_token_id=start, **BART)
    model = transformers.MBartForConditionalGeneration(config)
    model.generation_config.forced_bos_token_id = 3
    task = plugins.load("tasks", "translation")(source_lang="en_XX", target_lang="de_DE")

    def read(auto_class, **options):
        return getattr(transformers, auto_class).from_pretrained(tmp_path, **options)

    task = task.with_processor(task.open_processor(read, config, None), config)
    task.finalize(model)
    generation = model.generation_config
    expected = (language, None) if name == "MBart" else (2, language)
    assert (generation.decoder_start_token_id, generation.forced_bos_token_id) == expected
    assert model.config.decoder_start_token_id == expected[0]


@pytest.mark.parametrize(
    "task", ["text-classification", "token-classification", "fill-mask", "text-generation", "translation"]
)
def test_ids_without_an_embedding_are_refused(task, tmp_path):
    text = tiny.recipe(plugins.load("tasks", task)(), tmp_path)
    file = tmp_path / "checkpoint" / task / "config.json"
    vocabulary = json.loads(file.read_text())["vocab_size"]
    check(parse_recipe(text))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"vocab_size": vocabulary - 1}))
    with pytest.raises(ModelError, match=rf"'bad' the id {vocabulary - 1}, and the model has embeddings for"):
        check(parse_recipe(text))


LLAMA = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SENTENCE = ["Ann", "lives", "in", "'s-Gravenhage", ",", "since", "1990", "\N{NO-BREAK SPACE}", "Zoë", "."]


def _byte_level(*before, add_prefix_space=False, trim_offsets=True):
    """A tokenizer of bytes and of words with and without a space, as GPT-2 (`before` empty) and Llama 3 have them."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers

    level = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=not before, trim_offsets=trim_offsets)
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in before]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, level])
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(SENTENCE), "Ann Ann"] * 9, trainer)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<s>", eos_token="<s>")


def _metaspace():
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.train_from_iterator(
        [" ".join(SENTENCE)], trainers.BpeTrainer(special_tokens=["<s>"], show_progress=False)
    )
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<s>", unk_token="<s>")


@pytest.mark.parametrize(
    "make",
    [
        lambda: _byte_level(LLAMA),
        lambda: _byte_level(LLAMA, trim_offsets=False),
        _byte_level,
        lambda: _byte_level(add_prefix_space=True),
        _metaspace,
    ],
    ids=["llama", "llama-offsets", "gpt2", "roberta", "metaspace"],
)
def test_words_are_tokenized_as_a_pipeline_reads_them(make):
    tokenizer = make()
    task = plugins.load("tasks", "token-classification")().with_processor(tokenizer)
    encoded = task.encode({"tokens": [SENTENCE], "tags": [[*range(len(SENTENCE))]]})
    text = " ".join(SENTENCE)
    read = tokenizer(text, return_offsets_mapping=True)
    assert encoded.inputs["input_ids"] == [read["input_ids"]]
    (first,), (labels,) = encoded.side["first"], encoded.inputs["labels"]
    assert [labels[at] for at in first] == [*range(len(SENTENCE))]
    starts = [len(" ".join([*SENTENCE[:word], ""])) for word in range(len(SENTENCE))]
    spans = [read["offset_mapping"][at] for at in first]
    assert all(begin <= start < end for (begin, end), start in zip(spans, starts, strict=True))
    short = task.model_copy(update={"max_length": first[4] + 1})
    assert short.encode({"tokens": [SENTENCE]}).side["first"] == [first[:5]]


def test_a_word_without_a_token_is_unknown(tmp_path):
    folder = tiny.checkpoint(plugins.load("tasks", "token-classification")(), tmp_path / "bert")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    task = plugins.load("tasks", "token-classification")().with_processor(tokenizer)
    encoded = task.encode({"tokens": [["\x00", "good", "\x00", "bad"]], "tags": [[0, 1, 2, 3]]})
    assert tokenizer.convert_ids_to_tokens(encoded.inputs["input_ids"][0])[1:-1] == ["[UNK]", "good", "[UNK]", "bad"]
    assert encoded.inputs["labels"][0][1:-1] == [0, 1, 2, 3]


@pytest.mark.parametrize("types", [1, 2])
def test_a_second_text_has_a_type_where_the_model_has_an_embedding_for_it(types, tmp_path):
    task = plugins.load("tasks", "text-classification")(pairs=True)
    folder = tiny.checkpoint(task, tmp_path / "bert")
    config = transformers.BertConfig(vocab_size=len(tiny.WORDS), type_vocab_size=types, **BERT)

    def read(auto_class, **options):
        return getattr(transformers, auto_class).from_pretrained(folder, **options)

    tokenizer = task.open_processor(read, config, None)
    tokenizer.save_pretrained(tmp_path / "saved")
    saved = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    model = transformers.BertModel(config)
    for it in (tokenizer, saved):
        inputs = it("good", "bad", return_tensors="pt")
        assert ("token_type_ids" in inputs) is (types == 2)
        model(**inputs)
