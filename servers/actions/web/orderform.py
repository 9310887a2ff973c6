"""The form of a new server, with what its cloud offers at the moment."""

from __future__ import annotations

from typing import Any

from django import forms

from servers.actions import creating
from servers.actions.web.choices import Choices
from servers.actions.web.forms import NO_FILL
from servers.actions.web.shapes import ShapedForm
from servers.models import Server


class OrderForm(ShapedForm):
    """`choices`: what the account offers. Fields that its platform does not have are left out."""

    name = forms.CharField(max_length=255, widget=forms.TextInput(attrs=NO_FILL))
    count = forms.IntegerField(label="How many", min_value=1, max_value=creating.MOST, initial=1)

    def __init__(self, *args: Any, choices: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offered = choices
        zones = choices.zones
        if len(zones) > 1:
            self.fields["zone"] = forms.ChoiceField(label="Zone", choices=[(zone, zone) for zone in zones])
        self.zone = self._zone(zones)
        near = choices.within(self.zone)
        self.images = {image.id: image for image in near.images}
        listed = [(image.id, image.name or image.id) for image in near.images]
        self.fields["image"] = forms.ChoiceField(
            label="Image", choices=[("", "Choose an image"), *listed], error_messages={"required": "Choose an image."}
        )
        self.shape(choices.sizes, free=choices.free, least=0, hint="What is left empty is as in the image.")
        if near.networks:
            self.fields["networks"] = forms.MultipleChoiceField(
                label="Networks",
                choices=[(net.id, net.name or net.id) for net in near.networks],
                required=False,
                widget=forms.CheckboxSelectMultiple,
                help_text="None ticked: the cloud chooses.",
            )
        if choices.key_pairs:
            pairs = [(pair.name, pair.name) for pair in choices.key_pairs]
            self.fields["key_name"] = forms.ChoiceField(
                label="Key pair", choices=[("", "No key pair"), *pairs], required=False
            )
        if "user_data" not in choices.never:
            self.fields["user_data"] = forms.CharField(
                label="User data",
                required=False,
                strip=False,
                widget=forms.Textarea(attrs={"rows": 6, "class": "mono", **NO_FILL}),
                help_text="A script or a cloud-init document that runs at the first start, 16 KB at most. Put no "
                "secret into it: whoever is on the server can read it.",
            )

    @property
    def zone_field(self) -> Any:
        """The field to choose a zone with; None where there is one at most."""
        return self["zone"] if "zone" in self.fields else None

    def _zone(self, zones: list[str]) -> str:
        """The zone whose images and networks are shown."""
        wanted = self.data.get("zone") if self.is_bound else self.initial.get("zone")
        return wanted if wanted in zones else zones[0] if zones else ""

    def clean_user_data(self) -> str:
        text = str(self.cleaned_data["user_data"]).replace("\r\n", "\n")
        if len(text.encode()) > creating.USER_DATA:
            raise forms.ValidationError("These are more than 16 KB. Let the script fetch the rest.")
        return text if text.strip() else ""

    def clean(self) -> dict[str, Any]:
        given = super().clean()
        image, size = self.images.get(given.get("image", "")), self.sizes.get(given.get("size", ""))
        if image and size:
            for needs, has, what in (
                (image.min_disk_gb, size.disk_gb, "GB of disk"),
                (image.min_memory_mb, size.memory_mb, "MB of memory"),
            ):
                if needs and has and needs > has:  # a size with no disk of its own boots from a volume
                    self.add_error("size", f"This image needs {needs} {what}; {size.name} has {has}.")
        return given

    def order(self) -> dict[str, Any]:
        """What `creating.create` takes."""
        given = self.cleaned_data
        told = {name: given.get(name) for name in ("name", "image", "networks", "key_name", "user_data")}
        told |= self.shape_params() | {"zone": self.zone, "image_name": self.images[given["image"]].name}
        if size := self.sizes.get(told.get("size") or ""):
            told["size_name"] = size.name
        return {name: value for name, value in told.items() if value}


def like(server: Server, choices: Choices) -> dict[str, Any]:
    """The form's first values for another server like this one: what is still on offer, found by name or id."""
    said = {net.get("network") for net in server.addresses}
    networks = [net.id for net in choices.networks if net.name and net.name in said]
    return {
        "image": next((one.id for one in choices.images if server.image in (one.name, one.id)), ""),
        "size": next((one.id for one in choices.sizes if server.size in (one.name, one.id)), ""),
        "zone": server.region,
        "networks": networks,
        "key_name": server.key_name,
        "cpus": server.cpus,
        "memory": round(server.memory_mb / 256) / 4 if server.memory_mb else None,
    }
