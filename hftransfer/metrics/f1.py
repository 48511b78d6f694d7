"""F1: harmonic mean of precision and recall."""

from hftransfer.metrics._counted import Counted

OF_ONE_CLASS = True


class F1(Counted):
    """Equal to sklearn's f1_score."""

    def ratio(self, right, told, true):
        return 2 * right, told + true
