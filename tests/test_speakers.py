"""Embeddings by speaker: losses by hand, silence that does not count, x-vector heads, speakers never trained on."""

import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file

from hftransfer.core import plugins
from hftransfer.core.errors import RecipeError
from hftransfer.recipe.loader import parse_recipe
from hftransfer.runner.pipeline import run
from hftransfer.tasks._contrastive import margin_softmax
from hftransfer.tasks._speakers import frame_mask

TASK = plugins.load("tasks", "audio-xvector")
RATE = 16_000


def test_the_margin_is_taken_from_the_cosine_or_added_to_the_angle():
    embeddings, weights = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 1.0], [0.0, 5.0]])
    identities, cosines = torch.tensor([0, 1]), np.array([[0.5**0.5, 0.0], [0.5**0.5, 1.0]])

    def expected(own):
        logits = 10 * cosines
        logits[0, 0], logits[1, 1] = 10 * own[0], 10 * own[1]
        return np.mean([np.logaddexp.reduce(row) - row[i] for i, row in enumerate(logits)])

    loss = margin_softmax(embeddings, weights, identities, "am_softmax", 0.2, 10.0)
    assert float(loss) == pytest.approx(expected([0.5**0.5 - 0.2, 0.8]), abs=1e-5)
    loss = margin_softmax(embeddings, weights, identities, "arcface", 0.2, 10.0)
    assert float(loss) == pytest.approx(expected([np.cos(np.pi / 4 + 0.2), np.cos(0.2)]), abs=1e-3)
    # Beyond pi the cosine would rise again, and what is farthest would cost less than what is nearer.
    rows, weights = torch.tensor([[[-1.0, 0.0, 0.0]], [[-0.9, 0.436, 0.0]]]), torch.eye(3)[[0, 2]]
    farthest, nearer = (margin_softmax(row, weights, torch.tensor([0]), "arcface", 0.5, 1.0) for row in rows)
    assert farthest > nearer


def test_frames_of_padding_are_left_out():
    assert frame_mask(torch.tensor([1.0, 0.5, 0.3, 0.001]), 10).sum(dim=1).tolist() == [10, 5, 3, 1]


def _voice(path, speaker, number, seconds=0.4):
    """A tone of the speaker's own pitch, in noise."""
    rng, time = np.random.default_rng(number), np.arange(round(seconds * RATE)) / RATE
    soundfile.write(
        path, 0.3 * np.sin(2 * np.pi * (200 + 150 * speaker) * time) + 0.05 * rng.normal(size=len(time)), RATE
    )
    return str(path)


def _whisper(folder):
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    sizes = {"d_model": 16, "encoder_layers": 2, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    ends = {"pad_token_id": 1, "bos_token_id": 1, "eos_token_id": 1, "decoder_start_token_id": 1}
    config = WhisperConfig(
        **sizes,
        **ends,
        num_mel_bins=20,
        max_source_positions=100,
        vocab_size=60,
        decoder_layers=1,
        decoder_attention_heads=2,
    )
    torch.manual_seed(0)
    WhisperForConditionalGeneration(config).save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=20, chunk_length=2).save_pretrained(folder)
    return folder


def _wavlm_xvector(folder):
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    convolutions = {"conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (20, 16)}
    positions = {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0}
    heads = {"tdnn_dim": (16, 16), "tdnn_kernel": (3, 1), "tdnn_dilation": (1, 1), "xvector_output_dim": 12}
    torch.manual_seed(0)
    WavLMForXVector(WavLMConfig(**sizes, **convolutions, **positions, **heads, num_labels=7)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


def _run(make, folder, fields="", strategy="full"):
    """Eight speakers in training, validation and test, none of them in two."""
    rows = [{"audio": _voice(folder / f"{i}.wav", i % 8, i), "label": f"s{i % 8}"} for i in range(48)]
    (folder / "rows.json").write_text("\n".join(map(json.dumps, rows)))
    return run(
        parse_recipe(f"""
task: {{name: audio-xvector {fields}}}
model: {{id: {make(folder / "checkpoint")}}}
data: {{source: {{name: json, train: {folder / "rows.json"}}}, splits: {{validation: 12, test: 12}}}}
strategy: {strategy}
training: {{num_train_epochs: 2, per_device_train_batch_size: 12, learning_rate: 1.0e-3, use_cpu: true}}
evaluation: {{resamples: 20}}
{"export: {format: onnx, quantization: none, max_drop: 1.0}" if strategy == "full" else ""}
"""),
        folder / "run",
    )


def test_whisper_is_tuned_by_a_margin_whose_weights_are_not_saved(tmp_path):
    with pytest.raises(RecipeError, match="lora keeps the adapter alone, and the loss of this recipe has weights"):
        _run(_whisper, tmp_path, ", objective: am_softmax", "lora")
    result = _run(_whisper, tmp_path, ", objective: am_softmax", "full")
    classes = {split: set(names) for split, names in result.data.classes.items()}
    assert len(classes["train"]) == 4 and not classes["test"] & (classes["train"] | classes["validation"])
    assert {"random", "log_mel", "log_mel_lda", "pretrained", "tuned", "onnx"} <= set(result.scores["test"])
    # A pitch each: what is plain is found without a network.
    assert result.scores["test"]["log_mel"]["eer"].value < 0.2 < result.scores["test"]["random"]["eer"].value
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert all(name.startswith("encoder.") for name in weights)
    before = load_file(tmp_path / "checkpoint" / "model.safetensors")
    name = "encoder.layers.0.self_attn.q_proj.weight"
    assert np.abs(weights[name] - before[f"model.{name}"]).max() > 1e-4
    assert all("loss" in entry or "eval_loss" in entry for entry in result.history["tuned"][:1])


def test_the_silence_behind_a_recording_does_not_change_its_embedding(tmp_path):
    """Whisper pads to its window; of two recordings in a batch each has the embedding that it has alone."""
    from transformers import WhisperConfig, WhisperFeatureExtractor

    from hftransfer.data.encode import encode_one
    from hftransfer.tasks._whisper_encoder import WhisperForAudioXVector

    folder = _whisper(tmp_path / "checkpoint")
    config, extractor = WhisperConfig.from_pretrained(folder), WhisperFeatureExtractor.from_pretrained(folder)
    task = TASK().with_processor(extractor, config).with_pooling(lambda: None)
    model = WhisperForAudioXVector.from_pretrained(folder).eval()
    examples = [
        example
        for number, seconds in enumerate((0.4, 1.6))
        for example in encode_one(task, {"audio": _voice(tmp_path / f"{number}.wav", 1, number, seconds)})
    ]
    with torch.inference_mode():
        together = task.outputs(model, task.collate(examples), {})["audio"]
        hidden = model(task.collate(examples)["input_features"]).last_hidden_state
    expected = [hidden[0, :20].mean(dim=0), hidden[1, :80].mean(dim=0)]
    for vector, mean in zip(together, expected, strict=True):
        np.testing.assert_allclose(vector, torch.nn.functional.normalize(mean, dim=-1).numpy(), atol=1e-5)


def test_a_checkpoint_with_x_vectors_keeps_its_head(tmp_path):
    result = _run(_wavlm_xvector, tmp_path, ", objective: arcface")
    with np.load(tmp_path / "run" / "predictions" / "test.npz") as outputs:
        assert outputs["tuned.audio"].shape == outputs["onnx.audio"].shape == (12, 12)
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert {"feature_extractor.weight", "tdnn.0.kernel.weight"} <= set(
        weights
    ) and "identity_weights.weight" not in weights
    assert result.exports["onnx"].agreement == 1
