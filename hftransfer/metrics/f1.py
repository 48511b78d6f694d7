"""F1: the mean over the classes of the references (macro); with config `multilabel`, over all labels (micro)."""

import datasets
import evaluate
from sklearn.metrics import f1_score


class F1(evaluate.Metric):
    """Harmonic mean of precision and recall."""

    def _info(self):
        value = datasets.Value("int64")
        kind = datasets.List(value) if self.config_name == "multilabel" else value
        features = datasets.Features({"predictions": kind, "references": kind})
        return evaluate.MetricInfo(
            description=__doc__,
            citation="",
            inputs_description="class ids, or one 0 or 1 for each label",
            features=features,
        )

    def _compute(self, predictions, references):
        if self.config_name == "multilabel":
            return {"f1": float(f1_score(references, predictions, average="micro", zero_division=0))}
        return {"f1": float(f1_score(references, predictions, average="macro", zero_division=0))}
