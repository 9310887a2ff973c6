"""What an action needs to be told, beside whom it is done to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from accounts.clouds.operations import Size
from console.lib.denials import Wrong
from console.templatetags.look import megabytes
from servers.actions.kinds import Kind

_NO_FILL = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}


class ActionForm(forms.Form):
    """The frozen targets, and the fields of this kind."""

    targets = forms.CharField(widget=forms.HiddenInput, required=False)
    kind = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, does: Kind, sizes: Sequence[Size] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.sizes = {size.id: size for size in sizes}
        if does.name in ("rename", "snapshot"):
            self.fields["name"] = forms.CharField(
                label="New name" if does.name == "rename" else "Name of the snapshot",
                max_length=255,
                required=does.name == "rename",
                widget=forms.TextInput(attrs=_NO_FILL),
                help_text="" if does.name == "rename" else "Left out, it is named after the time.",
            )
        elif does.name == "resize":
            self.fields["size"] = forms.ChoiceField(
                label="New size",
                choices=[("", "Choose a size"), *((size.id, in_words(size)) for size in sizes)],
                error_messages={"required": "Choose a size."},
            )
        elif "snapshot_id" in does.needs:
            self.fields["snapshot_id"] = forms.CharField(widget=forms.HiddenInput)

    @property
    def shown(self) -> list[Any]:
        """The fields that a person fills in."""
        return self.visible_fields()

    def params(self) -> dict[str, Any]:
        given = {name: value for name, value in self.cleaned_data.items() if name not in ("targets", "kind") and value}
        if size := self.sizes.get(given.get("size", "")):
            given["size_name"] = size.name
        return given

    def take(self, wrong: Wrong) -> None:
        """What the deed found wrong, each beside its field."""
        for name, said in wrong.fields.items():
            for words in said:
                self.add_error(name if name in self.fields and not self.fields[name].widget.is_hidden else None, words)


def in_words(size: Size) -> str:
    """ "m1.small: 1 CPU, 2 GB, 20 GB disk"."""
    told = [
        f"{size.cpus} CPU{'' if size.cpus == 1 else 's'}" if size.cpus else "",
        megabytes(size.memory_mb) if size.memory_mb else "",
        f"{size.disk_gb} GB disk" if size.disk_gb else "",
    ]
    return ": ".join(filter(None, [size.name, ", ".join(filter(None, told))]))
