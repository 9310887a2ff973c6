"""What an action needs to be told, beside whom it is done to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from accounts.clouds.operations import Size
from servers.actions.kinds import Kind
from servers.actions.web.shapes import ShapedForm

NO_FILL = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


class ActionForm(ShapedForm):
    """The frozen targets, and the fields of this kind. `free`: it can say CPUs and memory; `has`: what it has now."""

    targets = forms.CharField(widget=forms.HiddenInput, required=False)
    kind = forms.CharField(widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, does: Kind, sizes: Sequence[Size] = (), free: bool = False, has: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sizes = {}
        if does.name in ("rename", "snapshot"):
            self.fields["name"] = forms.CharField(
                label="New name" if does.name == "rename" else "Name of the snapshot",
                max_length=255,
                required=does.name == "rename",
                widget=forms.TextInput(attrs=NO_FILL),
                help_text="" if does.name == "rename" else "Left out, it is named after the time.",
            )
        elif does.name == "resize":
            self.shape(sizes, free=free, least=1, hint=f"{has} What is left empty stays as it is.".strip())
        elif "snapshot_id" in does.needs:
            self.fields["snapshot_id"] = forms.CharField(widget=forms.HiddenInput)

    @property
    def shown(self) -> list[Any]:
        """The fields that a person fills in, but those of the shape, which actions/shape.html draws."""
        return [field for field in self.visible_fields() if field.name not in ("size", "cpus", "memory")]

    @property
    def shaped(self) -> bool:
        return "size" in self.fields or "cpus" in self.fields

    def params(self) -> dict[str, Any]:
        besides = ("targets", "kind", "size", "cpus", "memory")
        given = {name: value for name, value in self.cleaned_data.items() if name not in besides and value}
        given |= self.shape_params()
        if size := self.sizes.get(given.get("size", "")):
            given["size_name"] = size.name
        return given
