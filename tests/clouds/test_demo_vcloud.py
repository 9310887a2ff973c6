"""The simulated cells: ways in, versions, lists, pages, actions and tasks, as each generation has them."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests
from lxml import etree

from console.demo.vcloud import Cloud, serve
from tests.clouds.vcloud_caller import GENERATIONS, V15, Caller, Clock, basic


@pytest.mark.parametrize(
    ("generation", "first", "last"), [("1.0", "1.0", "1.0"), ("1.5", "1.5", "1.5"), ("5.1", "1.5", "5.1"),
                                      ("38.1", "34.0", "38.1"), ("47.3", "43.0", "47.3")],
)  # fmt: skip
def test_a_cell_offers_the_versions_of_its_time(generation: str, first: str, last: str) -> None:
    with serve(Cloud(generation)) as site:
        reply = requests.get(f"{site.url}/versions", timeout=10)
    found = [one.text for one in etree.fromstring(reply.content).iter("{*}Version")]
    assert (found[0], found[-1]) == (first, last)


def test_the_token_of_a_10_cell_may_come_as_a_cookie_only() -> None:
    with serve(Cloud("1.0")) as site:
        site.cloud.cookie_only = True
        reply = requests.post(f"{site.url}/v1.0/login", auth=basic(site.cloud), timeout=10)
        assert "x-vcloud-authorization" not in reply.headers
        cookie = {"Cookie": reply.headers["Set-Cookie"].partition(";")[0]}
        org = next(etree.fromstring(reply.content).iter("{*}Org")).get("href", "")
        assert requests.get(org, headers=cookie, timeout=10).status_code == 200
        assert requests.get(org, timeout=10).status_code == 401


def test_an_accept_header_without_an_offered_version_is_406() -> None:
    with serve(Cloud("1.5")) as site:
        for accept in ("*/*", "application/*+xml;version=5.1"):
            reply = requests.post(
                f"{site.url}/sessions", auth=basic(site.cloud), headers={"Accept": accept}, timeout=10
            )
            assert reply.status_code == 406


def test_api_sessions_is_gone_from_38_on_and_37_still_has_it() -> None:
    with serve(Cloud("38.1")) as site:
        codes = [
            requests.post(f"{site.url}/sessions", auth=basic(site.cloud), timeout=10,
                          headers={"Accept": f"application/*+xml;version={version}"}).status_code
            for version in ("37.0", "38.0", "38.1")
        ]  # fmt: skip
    assert codes == [200, 404, 404]


def test_an_api_token_buys_a_bearer_and_a_wrong_one_is_an_invalid_grant() -> None:
    with serve(Cloud("38.1")) as site:
        url, form = f"{site.root}/oauth/tenant/{site.cloud.org}/token", {"grant_type": "refresh_token"}
        wrong = requests.post(url, data={**form, "refresh_token": "none"}, timeout=10)
        assert (wrong.status_code, wrong.json()["error"]) == (400, "invalid_grant")
        given = requests.post(url, data={**form, "refresh_token": site.cloud.api_token}, timeout=10).json()
        headers = {"Accept": "application/*+xml;version=38.1", "Authorization": f"Bearer {given['access_token']}"}
        assert requests.get(f"{site.url}/session", headers=headers, timeout=10).status_code == 200


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_session_ends_after_half_an_hour_without_a_call(generation: str) -> None:
    clock = Clock()
    with serve(Cloud(generation, clock=clock)) as site, Caller(site) as caller:
        for _ in range(3):
            clock.forward(minutes=29)
            caller.get("org/")
        clock.forward(minutes=30)
        assert caller.call("GET", "org/").status_code == 401


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_task_is_queued_then_runs_then_is_over_by_the_clock(generation: str) -> None:
    clock = Clock()
    with serve(Cloud(generation, clock=clock, settle=timedelta(seconds=20))) as site, Caller(site) as caller:
        vm = site.cloud.add("web", status="POWERED_OFF")
        path = f"vApp/vm-{vm.id}"
        task = caller.post(f"{path}/power/action/powerOn")
        seen = [task.get("status")]
        for seconds in (2, 17, 1):
            clock.forward(seconds=seconds)
            seen.append(caller.outcome(task).get("status"))
        assert seen == ["queued", "running", "running", "success"]
        assert caller.get(path).get("status") == "4"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_busy_thing_is_refused_with_400_and_offers_no_action(generation: str) -> None:
    clock = Clock()
    with serve(Cloud(generation, clock=clock, settle=timedelta(seconds=20))) as site, Caller(site) as caller:
        path = f"vApp/vm-{site.cloud.add('web').id}"
        caller.post(f"{path}/power/action/reset")
        assert not any(rel.startswith("power:") for rel in caller.names(caller.get(path)))
        said = caller.post(f"{path}/power/action/powerOff", status=400)
        assert said.get("minorErrorCode") == "BUSY_ENTITY"
        clock.forward(seconds=20)
        caller.post(f"{path}/power/action/powerOff")


@pytest.mark.parametrize("generation", GENERATIONS)
def test_powered_off_is_not_undeployed_and_blocks_the_removal(generation: str) -> None:
    with serve(Cloud(generation)) as site, Caller(site) as caller:
        vm = site.cloud.add("web")
        home, path = f"vApp/vapp-{vm.vapp.id}", f"vApp/vm-{vm.id}"
        caller.post(f"{path}/power/action/powerOff")
        found = caller.get(path)
        assert (found.get("status"), found.get("deployed")) == ("8", "true")
        assert caller.call("DELETE", home).status_code == 400
        caller.post(f"{path}/action/undeploy", "undeployVAppParams", caller.undeploy("powerOff"))
        assert caller.get(path).get("deployed") == "false"
        assert caller.call("DELETE", home).status_code == 202
        said = caller.get(home, status=403)
        assert said.get("minorErrorCode") == "ACCESS_TO_RESOURCE_IS_FORBIDDEN"


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_template_becomes_a_vapp_that_grows_and_shrinks(generation: str) -> None:
    with serve(Cloud(generation)) as site, Caller(site) as caller:
        cloud = site.cloud
        template = f"{caller.root}/vAppTemplate/vappTemplate-{next(iter(cloud.templates))}"
        network = f"{caller.root}/network/{next(iter(cloud.networks))}"
        body = caller.instantiate("shop", template, network)
        where = f"vdc/{cloud.vdc_id}/action/instantiateVAppTemplate"
        made = caller.post(where, "instantiateVAppTemplateParams", body, status=201)
        assert (made.get("status"), next(made.iter("{*}Children"), None)) == ("0", None)
        assert caller.outcome(made).get("status") == "success"
        again = caller.get(made.get("href", ""))
        assert [one.get("name") for one in again.iter(f"{{{caller.ns}}}Vm")] == ["debian-12"]
        recompose = caller.link(again, "recompose") or ""
        caller.outcome(caller.post(recompose, "recomposeVAppParams", caller.recompose(add=template)))
        vapp = next(iter(cloud.vapps.values()))
        assert [vm.name for vm in vapp.vms] == ["debian-12", "second"]
        first = f"{caller.root}/vApp/vm-{vapp.vms[0].id}"
        caller.outcome(caller.post(recompose, "recomposeVAppParams", caller.recompose(delete=first)))
        assert [vm.name for vm in vapp.vms] == ["second"]


def test_hardware_is_changed_only_while_it_is_off() -> None:
    with serve(Cloud("1.0")) as site, Caller(site) as caller:
        vm = site.cloud.add("web")
        path = f"vApp/vm-{vm.id}/virtualHardwareSection/cpu"
        assert caller.put(path, "rasdItem", caller.item(3, 2), status=400).get("minorErrorCode") == "INVALID_STATE"
        site.cloud.set_status(vm.id, "POWERED_OFF")
        caller.outcome(caller.put(path, "rasdItem", caller.item(3, 2)))
        assert vm.cpus == 2


def test_a_body_of_another_content_type_namespace_or_with_a_doctype_is_refused() -> None:
    with serve(Cloud.sized(1, generation="1.5")) as site, Caller(site) as caller:
        path = f"vApp/vm-{next(iter(site.cloud.vms))}/action/undeploy"
        good = caller.undeploy("powerOff")
        assert caller.call("POST", path, "vm", good).status_code == 415
        assert caller.call("POST", path, "undeployVAppParams", good.replace("v1.5", "v1")).status_code == 400
        assert caller.call("POST", path, "undeployVAppParams", f"<!DOCTYPE a>{good}").status_code == 400
        assert caller.call("POST", path, "undeployVAppParams", good).status_code == 202


def test_a_task_that_was_doomed_ends_in_the_cells_own_words() -> None:
    with serve(Cloud.sized(1, generation="5.1")) as site, Caller(site) as caller:
        site.cloud.doomed.append(("vappReset", "INTERNAL_SERVER_ERROR", "The host is gone."))
        task = caller.outcome(caller.post(f"vApp/vm-{next(iter(site.cloud.vms))}/power/action/reset"))
        assert task.get("status") == "error"
        assert next(task.iter("{*}Error")).get("message") == "The host is gone."


def test_snapshots_exist_from_51_on_and_there_is_one() -> None:
    with serve(Cloud.sized(1, generation="5.1")) as site:
        vm = next(iter(site.cloud.vms.values()))
        path, body = f"vApp/vm-{vm.id}/action/createSnapshot", f'<CreateSnapshotParams xmlns="{V15}" memory="false"/>'
        with Caller(site, "1.5") as old:
            assert old.call("POST", path, "createSnapshotParams", body).status_code == 404
        with Caller(site) as caller:
            for _ in range(2):
                caller.outcome(caller.post(path, "createSnapshotParams", body))
            found = caller.get(f"vApp/vm-{vm.id}")
            assert len(list(found.iter("{*}Snapshot"))) == 1
            caller.outcome(caller.post(caller.link(found, "snapshot:removeAll") or ""))
            assert vm.snapshot is None


def test_a_screen_is_a_picture_and_a_ticket_is_of_its_time() -> None:
    for version, action, root in (("1.0", "acquireTicket", "ScreenTicket"), ("38.1", "acquireMksTicket", "MksTicket")):
        with serve(Cloud.sized(1, generation=version)) as site, Caller(site) as caller:
            path = f"vApp/vm-{next(iter(site.cloud.vms))}/screen"
            assert caller.call("GET", path).content.startswith(b"\x89PNG")
            ticket = caller.post(f"{path}/action/{action}", status=200)
            assert etree.QName(ticket).localname == root
