"""Embeddings of texts: losses and metrics by hand, what sentence-transformers loads, BM25, bad input."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from hftransfer.core import plugins
from hftransfer.core.errors import DataError, HFTransferError, RecipeError
from hftransfer.metrics import load_metric
from hftransfer.recipe.loader import parse_recipe
from hftransfer.reporting.verdict import verdict
from hftransfer.runner.pipeline import run
from hftransfer.runner.plan import check
from hftransfer.runner.predict import predictions
from hftransfer.sources.beir import Beir
from hftransfer.tasks import _contrastive, object_array
from hftransfer.tasks._bm25 import bm25
from hftransfer.tasks._retrieval import content_id, rank, relevant_rows
from hftransfer.tasks.sentence_similarity import SentenceSimilarity


def test_in_batch_negatives_are_the_cross_entropy_of_the_own_document():
    queries = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    documents = torch.tensor([[3.0, 0.0], [0.6, 0.8], [0.0, -1.0]])
    ids = torch.tensor([[1, 2], [11, 12], [13, 13]])
    relevant = _contrastive.no_negatives(ids[0], ids[1], torch.tensor([11, 12, 13]))
    loss = _contrastive.in_batch_negatives(queries, documents, relevant, 0.5)
    # Cosines over 0.5: 2, 1.2, 0 for the first query, 0, 1.6, -2 for the second; a hard negative is one of both.
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(1.2) + 1))
    second = -math.log(math.exp(1.6) / (1 + math.exp(1.6) + math.exp(-2)))
    assert float(loss) == pytest.approx((first + second) / 2, abs=1e-6)


def test_no_answer_to_an_equal_query_and_no_equal_document_is_a_negative():
    # Rows 0 and 1 have one query, rows 1 and 3 one document, and the negative of row 2 answers the query of row 0.
    queries, positives, negatives = torch.tensor([1, 1, 2, 3]), torch.tensor([11, 12, 13, 12]), torch.tensor([14, 11])
    relevant = _contrastive.no_negatives(queries, positives, torch.cat([positives, negatives]))
    assert relevant.int().tolist() == [
        [1, 1, 0, 1, 0, 1],
        [1, 1, 0, 1, 0, 1],
        [0, 0, 1, 1, 0, 1],
        [0, 1, 0, 1, 0, 1],
    ]
    embeddings = torch.eye(4)
    candidates = torch.cat([embeddings, embeddings[[0, 0]]])
    loss = _contrastive.in_batch_negatives(embeddings, candidates, relevant, 1.0)
    e = math.e
    # Of row 0 the negatives are documents 2 and 4, which is the query itself; of the last rows three, copies once.
    rows = [math.log((2 * e + 1) / e), math.log((e + 2) / e), math.log((e + 3) / e), math.log((e + 3) / e)]
    assert float(loss) == pytest.approx(sum(rows) / 4, abs=1e-6)


def test_other_losses_by_hand():
    one, other = torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 1.0], [3.0, 4.0]])
    assert float(_contrastive.cosine_regression(one, other, torch.tensor([0.5, 0.8]))) == pytest.approx(
        (0.25 + 0.04) / 2, abs=1e-6
    )
    nested = _contrastive.nested(lambda x: x.sum(), [1], one)
    assert float(nested) == 8 + 4
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.6, 0.8]])
    # Row 0: farthest of its identity sqrt(2), nearest other sqrt(0.8); row 1: sqrt(2) and sqrt(0.4); others are alone.
    loss = _contrastive.batch_hard_triplets(embeddings, torch.tensor([7, 7, 8, 9]), 0.2)
    hinges = [0.2 + math.sqrt(2) - math.sqrt(0.8), 0.2 + math.sqrt(2) - math.sqrt(0.4)]
    assert float(loss) == pytest.approx(sum(hinges) / 2, abs=1e-5)
    assert float(_contrastive.batch_hard_triplets(embeddings, torch.tensor([7, 7, 7, 7]), 0.2)) == 0


def test_metrics_of_rankings_by_hand():
    rankings = object_array([[4, 0, 9], [1, 2, 3], [5, 6, 7], [8]])
    relevant = object_array([frozenset({0}), frozenset({1, 3}), frozenset({9}), frozenset()])
    expected = {
        "recall_at_1": (0 + 1 / 2 + 0) / 3,
        "recall_at_10": (1 + 1 + 0) / 3,
        "mrr_at_10": (1 / 2 + 1 + 0) / 3,
        "ndcg_at_10": (1 / math.log2(3) + (1 + 1 / 2) / (1 + 1 / math.log2(3)) + 0) / 3,
    }
    for name, value in expected.items():
        assert load_metric(name)(rankings, relevant)[name] == pytest.approx(value)
        assert load_metric(name)(relevant[:1], relevant[:1])[name] == 1
    assert load_metric("spearmanr")(np.array([1, 2, 9, 3.0]), np.array([0.1, 0.2, 0.3, 0.3]))["spearmanr"] == (
        pytest.approx(0.9486833)
    )


def test_spearman_of_resamples_is_that_of_scipy():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    predictions, references = rng.integers(0, 9, 40) / 2, rng.integers(0, 5, 40).astype(float)
    sampled = rng.integers(0, 40, (5, 40))
    counts = np.array([np.bincount(rows, minlength=40) for rows in sampled], dtype=float)
    values = load_metric("spearmanr").of_counts(predictions, references)(counts)["spearmanr"]
    expected = [spearmanr(predictions[rows], references[rows]).statistic for rows in sampled]
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert load_metric("spearmanr")(np.ones(3), np.arange(3.0)) == {"spearmanr": 0.0}


def test_equal_documents_are_one_and_all_answers_to_a_query_are_right():
    documents = [content_id(text) for text in ("a  cat", "a dog", "a cat", "a bird")]
    queries = [content_id(text) for text in ("meow", "bark", "purr", "meow")]
    relevant = relevant_rows(queries, documents)
    assert relevant.tolist() == [{0, 3}, {1}, {0}, set()]
    vectors = np.array([[1.0, 0], [0, 1], [1, 0], [0.6, 0.8]])
    assert rank(vectors, vectors, documents).tolist() == [[0, 3, 1], [1, 3, 0], [0, 3, 1], [3, 1, 0]]


def test_bm25_by_hand():
    queries, documents = ["The cat, the cat", "dog house", "none"], ["a cat sat", "the dog and the cat ran", "a house"]
    (scores,) = bm25(queries, documents)
    mean = (3 + 6 + 2) / 3

    def term(count, length, having):
        idf = math.log(1 + (3 - having + 0.5) / (having + 0.5))
        return idf * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length / mean))

    expected = [
        [term(1, 3, 2), term(1, 6, 2) + term(2, 6, 1), 0],
        [0, term(1, 6, 1), term(1, 2, 1)],
        [0, 0, 0],
    ]
    np.testing.assert_allclose(scores, expected)


def _recipe(folder, rows, more="", task="", baselines="[random, bm25]"):
    place = tiny.checkpoint(SentenceSimilarity(), folder / "checkpoint")
    (folder / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    return f"""
task: {{name: sentence-similarity, max_length: 16{task}}}
model: {{id: {place}}}
data: {{source: {{name: json, train: {folder / "rows.json"}}}, splits: {{validation: 8, test: 12}}}}
training: {{num_train_epochs: 2, per_device_train_batch_size: 8, learning_rate: 1.0e-3, use_cpu: true}}
evaluation: {{baselines: {baselines}, resamples: 20}}
{more}
"""


def _pairs(count=48):
    return [{"query": f"good {i}", "positive": f"bad {i} b c d"} for i in range(count)]


def test_a_run_is_what_sentence_transformers_loads(tmp_path, capsys):
    from sentence_transformers import SentenceTransformer

    text = _recipe(tmp_path, _pairs(), task=", query_prefix: 'a ', document_prefix: 'b ', dimensions: [4]")
    result = run(parse_recipe(text), tmp_path / "run")
    assert set(result.scores["test"]) == {"random", "bm25", "pretrained", "tuned"}
    assert set(result.transfer_gain) == {"random", "bm25", "pretrained"} and "bm25" in verdict(result)
    assert result.recipe["task"]["pooling"] == "mean" and any("task.pooling" in line for line in result.warnings)
    # The numbers that query and document share are all that BM25 needs.
    assert result.scores["test"]["bm25"]["recall_at_1"].value == 1
    theirs = SentenceTransformer(str(tmp_path / "run" / "model"))
    rows = check(parse_recipe(text)).rows.splits["test"]
    with np.load(tmp_path / "run" / "predictions" / "test.npz") as outputs:
        for role, prompt in (("query", "query"), ("positive", "document")):
            ours = outputs[f"tuned.{role}"]
            np.testing.assert_allclose(theirs.encode(rows[role][:], prompt_name=prompt), ours, atol=1e-5)
            np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
        cosine = float(outputs["tuned.query"][0] @ outputs["tuned.positive"][0])
    query, document = rows["query"][0], rows["positive"][0]
    alone, pair, card = predictions(tmp_path / "run", result, [query, f"{query}\t{document}", "A text.\tAnother."])
    assert pair == {"similarity": pytest.approx(cosine, abs=1e-5)} and len(alone["embedding"]) == 16
    repo = tiny.pushed(tmp_path / "run", result, tmp_path / "repo")
    assert (repo / "1_Pooling" / "config.json").is_file() and (repo / "2_Normalize" / "config.json").is_file()
    (snippet,) = re.findall(r"```python\n(.*?)```", (repo / "README.md").read_text(), re.DOTALL)
    capsys.readouterr()
    exec(snippet, {})
    assert float(capsys.readouterr().out) == pytest.approx(card["similarity"], abs=1e-5)


def test_the_pooling_is_the_checkpoints(tmp_path):
    rows = _pairs()
    text = _recipe(tmp_path, rows)
    (tmp_path / "checkpoint" / "1_Pooling").mkdir()
    (tmp_path / "checkpoint" / "1_Pooling" / "config.json").write_text('{"pooling_mode_cls_token": true}')
    plan = check(parse_recipe(text))
    assert plan.task.pooling == "first" and not any("task.pooling" in line for line in plan.warnings)
    assert check(parse_recipe(text.replace("16}", "16, pooling: mean}"))).task.pooling == "mean"
    modules = [{"type": f"sentence_transformers.models.{kind}"} for kind in ("Transformer", "Pooling", "Dense")]
    (tmp_path / "checkpoint" / "modules.json").write_text(json.dumps(modules))
    assert any("task.pooling: the checkpoint names neither" in line for line in check(parse_recipe(text)).warnings)
    hidden = torch.tensor([[[9.0, 9], [3, 4], [0, 1]]])
    mask = torch.tensor([[0, 1, 1]])
    assert plan.task.embed(hidden, mask).tolist() == [[pytest.approx(0.6), pytest.approx(0.8)]]
    mean = plan.task.model_copy(update={"pooling": "mean"}).embed(hidden, mask)
    np.testing.assert_allclose(mean, [[1.5 / math.hypot(1.5, 2.5), 2.5 / math.hypot(1.5, 2.5)]], rtol=1e-6)


def test_pairs_with_a_score_are_learnt_by_their_cosine(tmp_path):
    words = [(("good", "bad")[i % 2], ("good", "bad")[i // 2 % 2]) for i in range(64)]
    rows = [
        {"query": f"{one} {i}", "positive": f"{other} {i + 1}", "score": 5.0 * (one == other)}
        for i, (one, other) in enumerate(words)
    ]
    text = _recipe(tmp_path, rows).replace("num_train_epochs: 2", "num_train_epochs: 15")
    result = run(parse_recipe(text), tmp_path / "run")
    scores = result.scores["test"]
    assert result.headline == "spearmanr" and set(scores) == {"random", "bm25", "pretrained", "tuned"}
    assert scores["tuned"]["spearmanr"].value > 0.8 and result.recipe["task"]["score_range"] == (0, 5)
    task = check(parse_recipe(text)).task
    assert task.error(2.0, 4.0) == pytest.approx(0.4) and task.error(2.0, 2.01) == 0


def test_the_loss_of_a_batch_is_that_of_its_pairs_and_goes_through_distributed_training(tmp_path):
    from torch.utils import _pytree
    from transformers import AutoModel, AutoTokenizer

    place = tiny.checkpoint(SentenceSimilarity(), tmp_path / "checkpoint")
    model, tokenizer = (
        AutoModel.from_pretrained(place).eval().requires_grad_(False),
        AutoTokenizer.from_pretrained(place),
    )
    task = SentenceSimilarity(pooling="mean").with_processor(tokenizer, model.config)
    rows = {"query": ["good 1", "bad 2"], "positive": ["good 1 a b", "bad"], "negative": ["bad 3", None]}
    encoded = task.encode(rows)
    examples = [dict(zip(encoded.inputs, cells, strict=True)) for cells in zip(*encoded.inputs.values(), strict=True)]
    batch = task.collate(examples)
    assert batch["input_ids"].shape == (4, 6) and batch["query_input_ids"].shape == (2, 4)
    vectors = task.outputs(model, batch, encoded.side)
    alone = tokenizer("bad", return_tensors="pt")
    expected = task.embed(model(**alone).last_hidden_state, alone["attention_mask"])
    np.testing.assert_allclose(vectors["positive"][1:], expected, atol=1e-6)
    task.install_loss(model, None)
    leaves, structure = _pytree.tree_flatten(model(**batch))
    loss = float(_pytree.tree_unflatten(leaves, structure).loss)
    hard = tokenizer("bad 3", return_tensors="pt")
    hard = task.embed(model(**hard).last_hidden_state, hard["attention_mask"]).numpy()
    cosines = vectors["query"] @ np.concatenate([vectors["positive"], hard]).T / 0.05
    rows = [cosines[i, i] - np.log(np.exp(cosines[i]).sum()) for i in range(2)]
    assert loss == pytest.approx(-sum(rows) / 2, abs=1e-4)


def test_errors_of_rankings():
    task = SentenceSimilarity()
    assert [task.error([4, 2], frozenset(it)) for it in ({4}, {2, 7}, {9}, ())] == [0, 0.5, 1, 0]
    assert task.error([4, 2], [4, 3]) == 0 and task.error([4, 2], [2, 4]) == 1 and task.error([], [4]) == 1


def test_several_answers_to_a_query_are_one_unit(tmp_path):
    rows = [row | {"query": f"good {i // 2}"} for i, row in enumerate(_pairs())]
    plan = check(parse_recipe(_recipe(tmp_path, rows)))
    test = plan.rows.splits["test"]
    assert len(set(plan.task.units(test))) == len(set(test["query"][:])) < len(test)
    assert any("queries of test are trained on too" in line for line in plan.warnings)
    grouped = _recipe(tmp_path, rows).replace("test: 12}", "test: 12, by_group: true}, columns: {group: query}")
    plan = check(parse_recipe(grouped))
    assert not any("trained on too" in line for line in plan.warnings) and len(plan.rows.splits["test"]) == 12


def _beir(folder):
    (folder / "qrels").mkdir(parents=True)
    documents = [{"_id": f"d{i}", "title": "T" if i else "", "text": f"bad {i}"} for i in range(4)]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "queries.jsonl").write_text("\n".join(json.dumps({"_id": i, "text": f"good {i}"}) for i in range(3)))
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n0\td0\t1\n0\td1\t2\n1\td2\t0\n")
    (folder / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\n2\td3\t1\n")
    return folder


def test_the_folder_of_a_beir_data_set_is_read(tmp_path):
    splits = Beir(path=str(_beir(tmp_path))).load()
    assert {name: rows.to_list() for name, rows in splits.items()} == {
        "train": [{"query": "good 0", "positive": "bad 0"}, {"query": "good 0", "positive": "T bad 1"}],
        "validation": [{"query": "good 2", "positive": "T bad 3"}],
    }


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("qrels/train.tsv", "0\td9\t1\n", r"train.tsv, line 1: corpus.jsonl has no id 'd9'"),
        ("qrels/train.tsv", "0 d0 1\n", "line 1 is not: query-id, corpus-id, score"),
        ("qrels/train.tsv", "0\td0\t0\n", "judges no document relevant"),
        ("corpus.jsonl", '{"id": 1, "text": "a"}', "line 1 lacks the key '_id'"),
        ("queries.jsonl", "[1]", "line 1 is no row of BEIR"),
        ("queries.jsonl", None, "there is no file"),
    ],
)
def test_a_wrong_file_of_beir_gets_a_sentence(file, content, message, tmp_path):
    path = _beir(tmp_path) / file
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(DataError, match=message):
        Beir(path=str(tmp_path)).load()
    with pytest.raises(DataError, match="has no judgements"):
        Beir(path=str(tmp_path / "qrels")).load()


@pytest.mark.parametrize(
    ("change", "task", "message"),
    [
        ({"score": "high"}, "", "the score should be a number, got 'high'"),
        ({"score": 3.0}, "", "all training rows have the score 3, which tells no similar pair"),
        ({"score": 3.0, "negative": "c"}, "", "a row has a score or a negative, not both"),
        ({}, ", score_range: [0, 5]", "the rows have no scores; data.columns.score names their column"),
        ({}, ", score_range: [5, 0]", "the score of a cosine of 0 is less than that of 1"),
        ({}, ", dimensions: [8, 17]", "task.dimensions: 17 is more than the 16 values of an embedding"),
        ({}, ", dimensions: [0]", "greater than or equal to 1"),
        ({"positive": " "}, "", "the positive is empty"),
    ],
)
def test_bad_input_gets_a_sentence(change, task, message, tmp_path):
    text = _recipe(tmp_path, [row | change for row in _pairs()], task=task)
    with pytest.raises(HFTransferError, match=message):
        check(parse_recipe(text))


def test_baselines_of_a_task_are_refused_by_the_others(tmp_path):
    with pytest.raises(RecipeError, match="'bm26' is no baseline.*did you mean 'bm25'"):
        parse_recipe(_recipe(tmp_path, _pairs(), baselines="[bm26]"))
    text = tiny.recipe(plugins.load("tasks", "text-classification")(), tmp_path / "other")
    with pytest.raises(RecipeError, match="'bm25' is no baseline"):
        parse_recipe(text.replace("baselines: []", "baselines: [bm25]"))


def test_a_query_is_needed_for_predict():
    with pytest.raises(DataError, match="write a query, or a query and a document"):
        SentenceSimilarity().parse("a\t")
    assert SentenceSimilarity().parse("a\tb") == {"query": "a", "positive": "b"}
    assert Path(plugins.path("tasks", "sentence-similarity")).name == "sentence_similarity.py"
