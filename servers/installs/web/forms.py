"""What a person says about the way in: SSH user, key or password, sudo, port, host keys."""

from __future__ import annotations

from typing import Any

from django import forms

from console.lib.denials import Wrong
from servers.installs.through import Jump

KEY_BYTES = 32 * 1024
_NO_FILL = {"autocomplete": "off", "autocapitalize": "off", "spellcheck": "false"}
_SECRET = {**_NO_FILL, "autocomplete": "new-password"}


class SecretText(forms.Textarea):
    """Takes text, and never writes it back."""

    def format_value(self, value: Any) -> None:
        return None


class WayIn(forms.Form):
    """The credentials alone: what a retry asks for again. Nothing secret is ever written back into the page."""

    method = forms.ChoiceField(
        choices=[("key", "SSH key"), ("password", "Password")],
        initial="key",
        label="Sign in with",
        widget=forms.RadioSelect,
    )
    private_key = forms.CharField(
        label="Private key",
        required=False,
        strip=False,
        max_length=KEY_BYTES,
        widget=SecretText(
            attrs={**_NO_FILL, "rows": 5, "class": "mono", "placeholder": "-----BEGIN OPENSSH PRIVATE KEY-----"}
        ),
        help_text="The whole file, from BEGIN to END. OpenSSH or PEM; RSA from 2048 bits, ECDSA or Ed25519.",
    )
    key_file = forms.FileField(label="Or its file", required=False, help_text="It is read instead of what is pasted.")
    passphrase = forms.CharField(
        label="Passphrase of the key",
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs=_SECRET),
    )
    password = forms.CharField(
        label="SSH password",
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs=_SECRET),
    )
    sudo_password = forms.CharField(
        label="Password for sudo",
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs=_SECRET),
        help_text="Only where sudo asks for one. Left out, the SSH password is tried.",
    )

    jump_private_key = forms.CharField(
        label="Key for the jump host",
        required=False,
        strip=False,
        max_length=KEY_BYTES,
        widget=SecretText(attrs={**_NO_FILL, "rows": 3, "class": "mono"}),
        help_text="Only where it differs from that of the servers.",
    )
    jump_passphrase = forms.CharField(
        label="Passphrase of that key",
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs=_SECRET),
    )
    jump_password = forms.CharField(
        label="Or a password for the jump host",
        required=False,
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs=_SECRET),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})

    def clean_key_file(self) -> str:
        """The text of the file that was chosen; empty without one."""
        file = self.cleaned_data.get("key_file")
        if not file:
            return ""
        if file.size > KEY_BYTES:
            raise forms.ValidationError("This file is too long for a private key.")
        try:
            return str(file.read().decode("utf-8"))
        except UnicodeDecodeError as fault:
            raise forms.ValidationError("This file is not text. Choose the private key's own file.") from fault

    def clean(self) -> dict[str, Any]:
        """Only what belongs to the chosen method goes on."""
        given = super().clean() or {}
        if given.get("method") == "password":
            given.update(private_key="", key_file="", passphrase="")
            if not given.get("password") and "password" not in self.errors:
                self.add_error("password", "Give the password of the SSH user.")
        else:
            given["password"] = ""
            given["private_key"] = given.get("key_file") or given.get("private_key") or ""
            if not given["private_key"].strip() and not {"key_file", "private_key"} & set(self.errors):
                self.add_error("private_key", "Paste the private key, or choose its file.")
        return given

    def secrets(self) -> dict[str, Any]:
        """What `install.start` and `install.retry_failed` take."""
        given = self.cleaned_data
        sudo = given["sudo_password"] or given["password"]
        return {"private_key": given["private_key"], "passphrase": given["passphrase"], "password": given["password"],
                "sudo_password": sudo}  # fmt: skip

    def jump_secrets(self) -> dict[str, str]:
        """The jump host's own; empty texts where it has none."""
        return {name: self.cleaned_data[f"jump_{name}"] for name in ("private_key", "passphrase", "password")}

    def take(self, wrong: Wrong) -> None:
        """Put what a deed found wrong beside the field that it is about."""
        for name, said in wrong.fields.items():
            for words in said:
                self.add_error(name if name in self.fields else None, words)


class InstallForm(WayIn):
    """The whole way in."""

    user = forms.CharField(
        label="SSH user", max_length=64, widget=forms.TextInput(attrs={**_NO_FILL, "placeholder": "ubuntu"}),
        help_text="Who may sign in on these servers: root, or somebody who may use sudo.",
    )  # fmt: skip
    port = forms.IntegerField(label="Port", initial=22, min_value=1, max_value=65535, error_messages={
        "invalid": "A port is a number from 1 to 65535.", "min_value": "A port is a number from 1 to 65535.",
        "max_value": "A port is a number from 1 to 65535."})  # fmt: skip
    use_sudo = forms.BooleanField(
        label="Become root by sudo", required=False, initial=True, help_text="Not needed when the SSH user is root."
    )
    host_keys = forms.ChoiceField(
        label="Host keys that are new to Muster", initial="show", widget=forms.RadioSelect,
        choices=[
            ("show", "Show me their fingerprints first. What the cloud's own console log confirms goes on by itself."),
            ("trust", "Trust them on the first connection. Quicker, but somebody in between could pose as the server."),
        ],
        help_text="A key that differs from the one on record always stops that install.",
    )  # fmt: skip
    look_first = forms.BooleanField(
        label="First look who can be reached, and let me see it", required=False,
        help_text="Nobody signs in anywhere and nothing is touched before you go on.",
    )  # fmt: skip
    jump_host = forms.CharField(
        label="Jump host", required=False, max_length=255,
        widget=forms.TextInput(attrs={**_NO_FILL, "placeholder": "bastion.example.com"}),
        help_text="Its name or address. The console connects to it, and from there to each server.",
    )  # fmt: skip
    jump_port = forms.IntegerField(label="Its port", initial=22, required=False, min_value=1, max_value=65535)
    jump_user = forms.CharField(
        label="User there", required=False, max_length=64, widget=forms.TextInput(attrs=_NO_FILL),
        help_text="Left out: the same as on the servers.",
    )  # fmt: skip
    targets = forms.CharField(widget=forms.HiddenInput, required=False)

    def jump(self) -> Jump | None:
        """The jump host, when one is named."""
        given = self.cleaned_data
        if not given["jump_host"]:
            return None
        return Jump(given["jump_host"], given["jump_port"] or 22, given["jump_user"], **self.jump_secrets())
