"""How large a server shall be: a size on offer, or CPUs and memory where the cloud lets people say."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms

from accounts.clouds.operations import Size
from console.lib.denials import Wrong
from console.templatetags.look import megabytes

STEP = Decimal("0.25")  # GB
MOST_CPUS = 1024
MOST_MEMORY = 16 * 1024  # GB
OWN = Size("own", "CPUs and memory of your choice")  # a choice of the form; what it asks for names no size


class SizeRadio(forms.RadioSelect):
    """Marks the sizes that leave CPUs and memory open, so that the page asks for them beside those only."""

    open_ones: frozenset[str] = frozenset()

    def create_option(self, name: str, value: Any, *rest: Any, **kwargs: Any) -> dict[str, Any]:
        made: dict[str, Any] = super().create_option(name, value, *rest, **kwargs)
        made["attrs"]["class"] = "form-check-input"
        if str(value) in self.open_ones:
            made["attrs"]["data-open"] = ""
        return made


class ShapedForm(forms.Form):
    """A form with `size`, or `cpus` and `memory` (in GB), or all three where a cloud takes either."""

    sizes: dict[str, Size]

    def shape(self, sizes: Sequence[Size], *, free: bool, least: int = 2, hint: str = "") -> None:
        """Add the fields. `free`: CPUs and memory can be said instead of a size, `least` of the two at least.

        `hint` stands below them then. `self.free`: there is no size to choose, and nothing else is asked for.
        """
        if free and sizes and not any(map(is_open, sizes)):
            sizes = (*sizes, OWN)
        self.sizes = {size.id: size for size in sizes}
        self.free, self.least, self.hint = free and not sizes, least if free else 2, hint if free else ""
        if not self.free:
            widget = SizeRadio()
            widget.open_ones = frozenset(size.id for size in sizes if is_open(size))
            choices = [(size.id, in_words(size)) for size in sizes]
            self.fields["size"] = forms.ChoiceField(
                label="Size", choices=choices, widget=widget, error_messages={"required": "Choose a size."}
            )
        if self.free or any(map(is_open, sizes)):
            self.fields["cpus"] = forms.IntegerField(label="CPUs", min_value=1, max_value=MOST_CPUS, required=False)
            self.fields["memory"] = forms.DecimalField(
                label="Memory in GB", min_value=STEP, max_value=MOST_MEMORY, step_size=STEP, required=False
            )
            self.fields["memory"].error_messages["step_size"] = "Write quarters of a GB: 0.5, 0.75, 1."

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        if "cpus" not in self.fields:
            return given
        size = self.sizes.get(given.get("size", ""))
        if not self.free and (size is None or not is_open(size)):
            given["cpus"] = given["memory"] = None  # they belong to a size that was not chosen
            for name in ("cpus", "memory"):
                self.errors.pop(name, None)
            return given
        missing = [name for name in ("cpus", "memory") if not given.get(name) and name not in self.errors]
        if 2 - len(missing) >= self.least:
            return given
        for name in missing:
            self.add_error(name, "Say how many." if name == "cpus" else "Say how much.")
        return given

    def shape_params(self) -> dict[str, Any]:
        """`size`, `cpus`, `memory_mb`: those that were given."""
        given = self.cleaned_data
        memory = given.get("memory")
        size = "" if self.sizes.get(given.get("size", "")) is OWN else given.get("size")
        told = {"size": size, "cpus": given.get("cpus"), "memory_mb": int(memory * 1024) if memory else 0}
        return {name: value for name, value in told.items() if value}

    @property
    def size_rows(self) -> list[dict[str, Any]]:
        """Each size with its input, for actions/sizes.html."""
        told = []
        for choice in self["size"].subwidgets:
            size = self.sizes[str(choice.data["value"])]
            told.append({"tag": choice.tag(), "id": choice.id_for_label, "size": size, "open": is_open(size)})
        return told

    def take(self, wrong: Wrong) -> None:
        """What the deed found wrong, each beside its field."""
        for name, said in wrong.fields.items():
            field = {"memory_mb": "memory"}.get(name, name)
            shown = field in self.fields and not self.fields[field].widget.is_hidden
            for words in said:
                self.add_error(field if shown else None, words)


def is_open(size: Size) -> bool:
    """Whether an order of this size says CPUs and memory itself (CloudStack's custom offerings,
    vCloud's default policy)."""
    return size.cpus is None and size.memory_mb is None


def in_words(size: Size) -> str:
    """ "m1.small: 1 CPU, 2 GB, 20 GB disk"."""
    told = [
        f"{size.cpus} CPU{'' if size.cpus == 1 else 's'}" if size.cpus else "",
        megabytes(size.memory_mb) if size.memory_mb else "",
        f"{size.disk_gb} GB disk" if size.disk_gb else "",
    ]
    return ": ".join(filter(None, [size.name, ", ".join(filter(None, told))]))
