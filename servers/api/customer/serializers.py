"""What a customer's programs send and are told."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.api.serializers import UNREAD
from accounts.models import CloudAccount
from console.lib.api.strict import In
from servers.actions import passwords
from servers.actions.kinds import KINDS
from servers.actions.models import Action
from servers.api.serializers import ServerOut
from servers.installs.models import Install, InstallBatch


class MyServerOut(ServerOut):
    """As the list shows it. `account_id` is the console's own id here, as in `GET accounts`."""

    account_id = serializers.UUIDField()  # type: ignore[assignment]  # the provider API has a text here


class MyAccountOut(serializers.ModelSerializer[CloudAccount]):
    platform = serializers.CharField(source="endpoint.platform")

    class Meta:
        model = CloudAccount
        fields = (
            "id",
            "name",
            "platform",
            "status",
            "status_reason",
            "version_found",
            "last_sync_at",
            "server_count",
            "unread_count",
        )
        extra_kwargs = {"unread_count": {"help_text": UNREAD}}


_SIZE = "The cloud's id of the size, as in `GET …/offers`."
_MEASURE = "Instead of `size` in vCloud accounts; elsewhere beside one that leaves it open: null in `GET …/offers`."


class ActionIn(In):
    kind = serializers.ChoiceField(choices=[(kind.name, kind.label) for kind in KINDS.values()])
    name = serializers.CharField(
        max_length=255, required=False, help_text="rename: the new name. snapshot: its name; without one, the time."
    )
    size = serializers.CharField(max_length=255, required=False, help_text=f"resize. {_SIZE}")
    cpus = serializers.IntegerField(min_value=1, required=False, help_text=f"resize. {_MEASURE}")
    memory_mb = serializers.IntegerField(min_value=1, required=False, help_text="resize: as `cpus`.")
    snapshot_id = serializers.CharField(
        max_length=255, required=False, help_text="revert_snapshot, delete_snapshot: the cloud's id of the snapshot."
    )


class OrderIn(In):
    account_id = serializers.UUIDField(help_text="The account, as in `GET accounts`.")
    name = serializers.CharField(max_length=255)
    image = serializers.CharField(max_length=255, help_text="The cloud's id of the image, as in `GET …/offers`.")
    size = serializers.CharField(max_length=255, required=False, help_text=_SIZE)
    cpus = serializers.IntegerField(min_value=1, required=False, help_text=_MEASURE)
    memory_mb = serializers.IntegerField(min_value=1, required=False, help_text="As `cpus`.")
    networks = serializers.ListField(
        child=serializers.CharField(max_length=255), required=False, help_text="Ids. Left out: the cloud's default."
    )
    key_name = serializers.CharField(max_length=255, required=False, help_text="The name of a key pair of the account.")
    user_data = serializers.CharField(
        required=False, trim_whitespace=False, write_only=True, help_text="A text of at most 16 KB. It is kept sealed."
    )
    zone = serializers.CharField(max_length=255, required=False, help_text="Where the cloud has more than one.")


class KindOut(serializers.Serializer[Any]):
    kind = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the name of the key, not of the field
    possible = serializers.BooleanField()
    reason = serializers.CharField(allow_blank=True, help_text="Why not, as a sentence.")
    needs = serializers.ListField(child=serializers.CharField(), help_text="Fields that must be given with it.")
    danger = serializers.BooleanField(help_text="Nobody can bring back what it takes away.")


class SizeOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    cpus = serializers.IntegerField(allow_null=True)
    memory_mb = serializers.IntegerField(allow_null=True)
    disk_gb = serializers.IntegerField(allow_null=True)


class ImageOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    min_disk_gb = serializers.IntegerField(allow_null=True)
    min_memory_mb = serializers.IntegerField(allow_null=True)
    zone = serializers.CharField(allow_blank=True)


class NetworkOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    zone = serializers.CharField(allow_blank=True)


class KeyPairOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    fingerprint = serializers.CharField(allow_blank=True)


class OffersOut(serializers.Serializer[Any]):
    sizes = SizeOut(many=True)
    images = ImageOut(many=True)
    networks = NetworkOut(many=True)
    key_pairs = KeyPairOut(many=True)
    missing = serializers.DictField(
        child=serializers.CharField(), help_text="List → why this platform does not have it."
    )


class SnapshotOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()
    created_at = serializers.DateTimeField(allow_null=True)
    current = serializers.BooleanField(help_text="The server goes on from this one.")


class PasswordOut(serializers.Serializer[Any]):
    password = serializers.CharField()


class ActionOut(serializers.ModelSerializer[Action]):
    server_id = serializers.UUIDField(allow_null=True)
    params = serializers.DictField()
    phase = serializers.CharField(help_text="Where it is, in the cloud's own words.")
    percent = serializers.IntegerField(allow_null=True, help_text="Where the cloud says.")
    outcome = serializers.CharField(help_text="How it ended, or why it waits; the cloud's own words when it refused.")
    has_password = serializers.SerializerMethodField(
        help_text="A first password waits: POST actions/{id}/password tells it, once, to who ordered the server."
    )

    def get_has_password(self, row: Action) -> bool:
        return passwords.has_one(row)

    class Meta:
        model = Action
        fields = (
            "id",
            "server_id",
            "name",
            "kind",
            "params",
            "state",
            "phase",
            "percent",
            "outcome",
            "has_password",
            "queued_at",
            "started_at",
            "ended_at",
        )


class JumpIn(In):
    host = serializers.CharField(max_length=255, help_text="Its name or address.")
    port = serializers.IntegerField(min_value=1, max_value=65535, default=22)
    user = serializers.CharField(max_length=64, required=False, help_text="Left out: the same as on the servers.")
    private_key = serializers.CharField(
        max_length=32768, required=False, trim_whitespace=False, write_only=True,
        help_text="Its own key or password. Left out: what is given for the servers.",
    )  # fmt: skip
    passphrase = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)
    password = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)


class InstallIn(In):
    servers = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=1000, required=False, help_text="Or `q`."
    )
    q = serializers.CharField(
        max_length=500, required=False, help_text="As in the list's search box: agent:missing account:main"
    )
    user = serializers.CharField(max_length=64, help_text="The SSH user: root, ubuntu, debian …")
    private_key = serializers.CharField(
        max_length=32768, required=False, trim_whitespace=False, write_only=True, help_text="Or a password."
    )
    passphrase = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)
    password = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)
    sudo_password = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)
    port = serializers.IntegerField(min_value=1, max_value=65535, default=22)
    use_sudo = serializers.BooleanField(default=True)
    trust_new_host_keys = serializers.BooleanField(
        default=False, help_text="false: a host key that nothing confirms waits for `POST installs/{id}/confirm-keys`."
    )
    look_first = serializers.BooleanField(
        default=False,
        help_text="true: only look who can be reached; nobody signs in before `POST installs/{id}/go-on`.",
    )
    jump = JumpIn(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("servers" in attrs) == ("q" in attrs):
            raise serializers.ValidationError({"servers": ["Give either servers or q."]})
        return attrs


class SecretsIn(In):
    private_key = serializers.CharField(
        max_length=32768, required=False, trim_whitespace=False, write_only=True, help_text="Or a password."
    )
    passphrase = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)
    password = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)


class RetryIn(SecretsIn):
    sudo_password = serializers.CharField(max_length=1024, required=False, trim_whitespace=False, write_only=True)
    jump = SecretsIn(required=False, help_text="The jump host's own. Left out: what is given for the servers.")


class HostKeysIn(In):
    fingerprints = serializers.ListField(
        child=serializers.CharField(max_length=100), min_length=1, max_length=1001,
        help_text="As `installs[].fingerprint` and `jump_fingerprint` tell them: SHA256:…",
    )  # fmt: skip


class StageOut(serializers.Serializer[Any]):
    stage = serializers.CharField()
    started_at = serializers.DateTimeField()
    seconds = serializers.FloatField(allow_null=True, help_text="null: it goes on.")
    ok = serializers.BooleanField(allow_null=True)


class InstallRowOut(serializers.ModelSerializer[Install]):
    server_id = serializers.UUIDField()
    stages = StageOut(many=True, help_text="Those gone through; the live one last.")

    class Meta:
        model = Install
        fields = ("server_id", "state", "stage", "stages", "cause", "fix", "outcome", "fingerprint", "ended_at")


class InstallOut(serializers.ModelSerializer[InstallBatch]):
    installs = InstallRowOut(many=True)

    class Meta:
        model = InstallBatch
        fields = (
            "id", "ssh_user", "method", "port", "jump_host", "jump_fingerprint", "held", "created_at", "ended_at",
            "installs",
        )  # fmt: skip


def params_of(given: dict[str, Any]) -> dict[str, Any]:
    """What belongs to the deed, without its kind."""
    return {name: value for name, value in given.items() if name != "kind"}
