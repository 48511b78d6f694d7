"""A number for each word of a text, by a token classification model with one output."""

from typing import ClassVar

import numpy as np
import torch

from hftransfer.core.features import Json, Words
from hftransfer.tasks import Encoded, Task, object_array, replace_loss, stack


class TokenRegression(Task):
    """Words to numbers. Outputs: `logits` of shape (rows, words), NaN after the last word of a row."""

    inputs: ClassVar = {"tokens": Words()}
    target: ClassVar = ("values", Json())
    auto_model: ClassVar = "AutoModelForTokenClassification"
    auto_processor: ClassVar = "AutoTokenizer"
    metrics: ClassVar = ["word_mae"]
    replaces_loss: ClassVar = True

    def config_fields(self):
        return {"num_labels": 1}

    def encode(self, rows):
        tokens = self.processor(rows["tokens"], is_split_into_words=True, truncation=True)
        words = [tokens.word_ids(row) for row in range(len(rows["tokens"]))]
        inputs = {"input_ids": tokens["input_ids"]}
        for ids, values in zip(words, rows.get("values", []), strict=False):
            inputs.setdefault("labels", []).append([np.nan if word is None else values[word] for word in ids])
        return Encoded(inputs, side={"first": [[ids.index(word) for word in sorted({*ids} - {None})] for ids in words]})

    def collate(self, encoded):
        batch = self.processor.pad([{"input_ids": row["input_ids"]} for row in encoded], return_tensors="pt")
        labels = [np.array(row["labels"], np.float32) for row in encoded if "labels" in row]
        return {**batch, **({"labels": torch.from_numpy(stack(labels))} if labels else {})}

    def install_loss(self, model, references):
        def squared_error(output, labels):
            known = ~labels.isnan()
            return torch.nn.functional.mse_loss(output.logits[..., 0][known], labels[known])

        replace_loss(model, squared_error)

    def outputs(self, model, batch, side):
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[..., 0]
        tokens = logits.float().cpu().numpy()
        return {"logits": stack([row[first] for row, first in zip(tokens, side["first"], strict=True)])}

    def postprocess(self, outputs, side):
        return object_array([row[~np.isnan(row)].tolist() for row in outputs["logits"]])

    def references(self, rows):
        return object_array(rows["values"][:])

    def error(self, prediction, reference):
        return float(np.mean([abs(a - b) for a, b in zip(prediction, reference, strict=False)]))
