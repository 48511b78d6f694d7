"""The page of `demo`: its inputs follow from the feature types that a task asks for, its outputs from the answers."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hftransfer.core.errors import DataError, HFTransferError
from hftransfer.core.features import Audio, Feature, Image
from hftransfer.tasks import Illustration, Row, Task
from hftransfer.tasks._answer_hooks import Choice

if TYPE_CHECKING:
    from gradio import Blocks
    from gradio.components import Component

Answered = tuple[dict[str, Any], Illustration]
Value = str | list[str] | None
"""What a component gives: a text, the path of a file, or those of several."""
# Pixels of the longer side of a picture that is shown.
_SIDE = 1024
_CLASSES = 10


def build(task: Task, illustrated: Callable[[Row], Answered], title: str, text: str) -> Blocks:
    """A page that asks for what the task asks for, and shows what `illustrated` answers to the row.

    Its function `answer` is there for programs too; the first thing that it gives back is the answer of `predict`.
    """
    import gradio

    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.Markdown(f"# {title}\n{text}")
        with gradio.Row():
            with gradio.Column():
                inputs = [_component(role, feature) for role, feature in task.asked.items()]
                if task.compared:
                    inputs.append(_gallery(task.compared, task.inputs[task.compared]))
                button = gradio.Button("Answer", variant="primary")
            with gradio.Column():
                views = {view: view(None) for view in (_classes, _picture, _words, _scalars, _sound, _table)}
                with gradio.Accordion("Answer as JSON", open=False):
                    record = gradio.JSON(show_label=False)

        def answer(*values: Value) -> list[Any]:
            try:
                found, illustration = _answer(task, illustrated, values)
            except HFTransferError as error:
                raise gradio.Error(_sentence(error, values), duration=None, print_exception=False) from None
            return [_record(found), *(view((found, illustration)) for view in views)]

        outputs = [record, *views.values()]
        button.click(answer, inputs, outputs, api_name="answer", show_progress="minimal")
    return page


def _answer(task: Task, illustrated: Callable[[Row], Answered], values: Sequence[Value]) -> Answered:
    """The answer to what the components hold; with things to compare with, these by how alike they are.

    Raises:
        DataError: something is missing or cannot be read.
    """
    given = _argument(task, values)
    others = _others(task, values[len(task.asked) :])
    if not others:
        return illustrated(_row(task, given))
    compared = task.compare(lambda row: illustrated(row)[0], given, others)
    is_file = isinstance(task.inputs[task.compared], Image | Audio)
    names = [Path(other).name if is_file else other for other in others]
    rows = [{task.compared: name, **it} for name, it in zip(names, compared, strict=True)]
    return {"neighbours": sorted(rows, key=lambda row: -row["similarity"])}, Illustration()


def _argument(task: Task, values: Sequence[Value]) -> str:
    """What the components hold as one argument of `Task.parse`.

    Raises:
        DataError: an input is missing.
    """
    parts = []
    for (role, feature), value in zip(task.asked.items(), values, strict=False):
        text = value if isinstance(value, str) else ""
        if not text.strip() and not feature.optional:
            raise DataError(f"the field '{role}' is empty")
        parts.append(feature.argument(text))
    while parts and not parts[-1]:
        parts.pop()
    return "\t".join(parts)


def _row(task: Task, given: str) -> Row:
    row = task.parse(given)
    for role, feature in task.asked.items():
        if role in row and not feature.optional and feature.is_empty(row[role]):
            raise DataError(f"the field '{role}' is empty")
    return row


def _others(task: Task, values: Sequence[Value]) -> list[str]:
    """What is to be compared: the lines of a text, or the paths of files."""
    (value,) = values or (None,)
    lines = value.splitlines() if isinstance(value, str) else value or []
    feature = task.inputs.get(task.compared)
    return [feature.argument(line) for line in lines if line.strip()] if feature else []


def _sentence(error: HFTransferError, values: Sequence[Value]) -> str:
    """An error as a page shows it: uploaded files by their names, nothing in it taken for HTML."""
    text = str(error)[:1].upper() + str(error)[1:]
    for value in values:
        for path in [value] if isinstance(value, str) else value or []:
            text = text.replace(path, Path(path).name) if Path(path).is_absolute() else text
    return html.escape(text, quote=False)


def _component(role: str, feature: Feature) -> Component:
    """What a person gives the input by."""
    import gradio

    label = f"{role} (may be left empty)" if feature.optional else role
    if isinstance(feature, Image):
        picture = gradio.Image(
            label=label, type="filepath", sources=["upload", "clipboard", "webcam"], buttons=["fullscreen"]
        )
        # The file as it is: Gradio would refuse what is no image in words of its own, and convert the modes of others.
        picture.preprocess = lambda payload: payload.path if payload else None
        return picture
    if isinstance(feature, Audio):
        return gradio.Audio(label=label, type="filepath", sources=["microphone", "upload"], buttons=["download"])
    if isinstance(feature, Choice):
        return gradio.Dropdown(list(feature.names), value=feature.names[0], label=label)
    if feature.each_line:
        return gradio.Textbox(label=f"{label}, {feature.each_line}", lines=4)
    return gradio.Textbox(label=label, lines=3)


def _gallery(role: str, feature: Feature) -> Component:
    """What the inputs are given by that one is compared with."""
    import gradio

    if isinstance(feature, Image | Audio):
        return gradio.File(label=f"compare with ({role})", file_count="multiple", type="filepath")
    return gradio.Textbox(label=f"compare with ({role}), one a line", lines=4)


# Each of the following is a part of the page: without an answer its component, else what it shows of the answer.


def _shown(value: Any, **more: Any) -> Any:
    import gradio

    return gradio.update(value=value, visible=bool(value), **more)


def _classes(answered: Answered | None) -> Any:
    """The probabilities of the classes."""
    import gradio

    if answered is None:
        return gradio.Label(visible=False, show_label=False, num_top_classes=_CLASSES)
    return _shown(answered[0].get("scores"))


def _scalars(answered: Answered | None) -> Any:
    """Texts and numbers; also a label that is not the most probable one."""
    import gradio

    if answered is None:
        return gradio.Textbox(visible=False, interactive=False, buttons=["copy"])
    answer, _ = answered
    first = max(answer["scores"], key=answer["scores"].get) if answer.get("scores") else None
    ignored = {"audio"} | ({"label"} if answer.get("label") == first else set())
    found = {
        name.replace("_", " "): _written(value)
        for name, value in answer.items()
        if isinstance(value, str | int | float) and name not in ignored
    }
    if len(found) == 1:
        ((name, text),) = found.items()
        return _shown(text, label=name)
    return _shown("\n".join(f"{name}: {text}" for name, text in found.items()), label="answer")


def _picture(answered: Answered | None) -> Any:
    """A picture with boxes or masks."""
    import gradio

    if answered is None:
        return gradio.AnnotatedImage(visible=False, show_label=False)
    picture, areas, _ = answered[1]
    return _shown(None if picture is None else _shrunk(picture, areas))


def _words(answered: Answered | None) -> Any:
    import gradio

    if answered is None:
        return gradio.HighlightedText(visible=False, label="words")
    return _shown([(f"{text} ", label) for text, label in answered[1].spans])


def _sound(answered: Answered | None) -> Any:
    import gradio

    if answered is None:
        return gradio.Audio(visible=False, interactive=False, label="sound", buttons=["download"])
    sound = answered[0].get("audio")
    return _shown(base64.b64decode(sound) if sound else None)


def _table(answered: Answered | None) -> Any:
    """The first list of mappings or of lists."""
    import gradio

    if answered is None:
        return gradio.Dataframe(visible=False, interactive=False, wrap=True)
    for name, rows in answered[0].items():
        if isinstance(rows, list) and rows and isinstance(rows[0], dict | list):
            flat = [_flat(row) for row in rows]
            lines = [[_written(it) for it in row.values()] for row in flat]
            return _shown({"headers": list(flat[0]), "data": lines}, label=name)
    return _shown(None)


def _flat(row: dict[str, Any] | list[Any]) -> dict[str, Any]:
    """A row of a table: what lies in mappings of a mapping has columns of its own."""
    if isinstance(row, list):
        return {str(number): value for number, value in enumerate(row, 1)}
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _record(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer as JSON, without its sound."""
    return {name: value for name, value in answer.items() if name != "audio"}


def _shrunk(picture: Any, areas: Sequence[tuple[Any, str]]) -> tuple[Any, list[tuple[np.ndarray, str]]]:
    """A picture, at most 1024 pixels a side, and of each area how much it covers every pixel."""
    from PIL import Image as Pictures

    scale = min(1.0, _SIDE / max(picture.size))
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    covers: list[tuple[np.ndarray, str]] = []
    for area, label in areas:
        if isinstance(area, np.ndarray):
            mask = Pictures.fromarray(area.astype(np.uint8)).resize(size, Pictures.Resampling.NEAREST)
            covers.append((np.asarray(mask) * 0.6, label))
        else:
            covers.append((_outline(np.asarray(area) * scale, size), label))
    return picture.resize(size), covers


def _outline(box: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """How much a box covers every pixel: Gradio would hide what lies below several of them."""
    width, height = size
    left, top, right, bottom = (round(float(at)) for at in np.clip(box, 0, [width, height] * 2))
    line = max(2, max(size) // 200)
    cover = np.zeros((height, width))
    cover[top:bottom, left:right] = 1.0
    cover[top + line : bottom - line, left + line : right - line] = 0.1
    return cover
