"""The lists of a simulated CloudStack: pages, counts that lie, filters and how much of a machine is told."""

from __future__ import annotations

import pytest

from console.demo.cloudstack import Cloud, Nic, serve
from tests.clouds.cloudstack_caller import ask, client, refused, say


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("machines", [0, 1, 500, 501, 1234])
def test_cs_lists_every_machine_of_a_cloud_that_counts_them_all(machines: int, method: str) -> None:
    with serve(Cloud.sized(machines)) as site:
        found = client(site, method=method).listVirtualMachines(fetch_list=True, listall=True)
        assert [one["id"] for one in found] == list(site.cloud.machines)


@pytest.mark.parametrize("version", ["3.0.2", "4.0.2"])
def test_old_clouds_count_the_page_so_that_cs_stops_after_one(version: str) -> None:
    with serve(Cloud.sized(1234, version=version)) as site:
        assert len(client(site).listVirtualMachines(fetch_list=True, listall=True)) == 500
        counts, number = [], 1
        while page := ask(site, "listVirtualMachines", page=str(number), pagesize="500"):
            counts.append((page["count"], len(page["virtualmachine"])))
            number += 1
        assert counts == [(500, 500), (500, 500), (234, 234)]


def test_a_later_cloud_can_count_the_page_too() -> None:
    with serve(Cloud.sized(12, version="4.18.1.0", counting="page")) as site:
        assert ask(site, "listVirtualMachines", page="1", pagesize="5")["count"] == 5


def test_the_page_after_the_last_is_bare_or_says_the_total() -> None:
    with serve(Cloud.sized(4)) as site:
        assert ask(site, "listVirtualMachines", page="2", pagesize="4") == {}
        site.cloud.count_past_end = True
        assert ask(site, "listVirtualMachines", page="2", pagesize="4") == {"count": 4}


def test_a_page_larger_than_allowed_is_refused_and_the_words_say_how_large() -> None:
    with serve(Cloud.sized(3)) as site:
        site.cloud.max_page = 100
        code, cs_code, words = refused(site, "listVirtualMachines", page="1", pagesize="500")
        assert (code, cs_code) == (431, 4350)
        assert words == "Page size can't exceed max allowed page size value: 100"
        assert refused(site, "listVirtualMachines", pagesize="10")[0] == 431
        assert refused(site, "listVirtualMachines", page="1")[0] == 431


def test_details_say_how_much_of_a_machine_is_wanted() -> None:
    with serve(Cloud.sized(1)) as site:
        few = ask(site, "listVirtualMachines", details="nics,servoff")["virtualmachine"][0]
        assert few["nic"][0]["ipaddress"]
        assert few["cpunumber"] == 1
        assert not {"templateid", "cpuused", "rootdeviceid"} & set(few)
        least = ask(site, "listVirtualMachines", details="min")["virtualmachine"][0]
        assert least["nic"] == []
        assert "cpunumber" not in least
        assert refused(site, "listVirtualMachines", details="everything")[0] == 431


def test_machines_of_projects_are_only_listed_for_projectid() -> None:
    with serve(Cloud.sized(2)) as site:
        (project,) = site.cloud.projects
        shop = site.cloud.add("shop", project=project)
        assert len(ask(site, "listVirtualMachines", listall="true")["virtualmachine"]) == 2
        for wanted in ("-1", project):
            (row,) = ask(site, "listVirtualMachines", listall="true", projectid=wanted)["virtualmachine"]
            assert (row["id"], row["projectid"], row["project"]) == (shop.id, project, "web-shop")
            assert "account" not in row
        assert [one["name"] for one in ask(site, "listNetworks", projectid="-1")["network"]] == ["shop-net"]


def test_machines_are_found_by_id_ids_name_keyword_zone_and_state() -> None:
    with serve(Cloud.sized(20)) as site:
        wanted = list(site.cloud.machines)[3:5]
        zone = list(site.cloud.zones)[1]

        def names(**params: str) -> list[str]:
            return [one["name"] for one in ask(site, "listVirtualMachines", **params).get("virtualmachine", [])]

        assert names(ids=",".join(wanted)) == ["vm-00003", "vm-00004"]
        assert names(id=wanted[0]) == names(name="vm-00003") == ["vm-00003"]
        assert names(keyword="VM-0001") == [f"vm-000{number}" for number in range(10, 20)]
        assert names(state="Stopped") == ["vm-00003", "vm-00013"]
        assert set(names(zoneid=zone)) < set(names())
        assert refused(site, "listVirtualMachines", ids=f"{wanted[0]},nobody")[:2] == (431, 9999)
        assert refused(site, "listVirtualMachines", id="nobody")[2].startswith(
            "Unable to execute API command listvirtualmachines due to invalid value. Invalid parameter id value=nobody"
        )


def test_templates_have_a_row_for_each_zone_and_need_a_filter() -> None:
    with serve(Cloud.sized(0)) as site:
        assert refused(site, "listTemplates")[2].endswith("due to missing parameter templatefilter")
        rows = ask(site, "listTemplates", templatefilter="executable")["template"]
        assert len([one for one in rows if one["name"] == "Debian 12"]) == 2
        assert "still-downloading" not in {one["name"] for one in rows}
        zone = next(iter(site.cloud.zones))
        names = [one["name"] for one in ask(site, "listTemplates", templatefilter="self", zoneid=zone)["template"]]
        assert names == ["web-golden"]


def test_interfaces_can_have_no_address_an_ip6_and_more_than_one() -> None:
    with serve(Cloud.sized(0)) as site:
        net = next(iter(site.cloud.networks))
        one = site.cloud.add("many", networks=())
        one.nics = (
            Nic("nic-1", net, "10.20.0.9", "06:00:00:00:00:09", ip6="2001:db8::9", secondary=("10.20.0.10",)),
            Nic("nic-2", net, "", "06:00:00:00:00:0a", default=False),
        )
        first, second = ask(site, "listVirtualMachines")["virtualmachine"][0]["nic"]
        assert (first["ip6address"], first["secondaryip"][0]["ipaddress"]) == ("2001:db8::9", "10.20.0.10")
        assert not {"ipaddress", "netmask", "gateway", "traffictype"} & set(second)


def test_the_answer_is_xml_for_who_does_not_ask_for_json() -> None:
    with serve(Cloud.sized(1)) as site:
        reply = say(site, "listZones", response="xml")
        assert reply.headers["Content-Type"].startswith("text/xml")
        assert reply.text.startswith(
            '<?xml version="1.0" encoding="UTF-8"?><listzonesresponse cloud-stack-version="4.20'
        )
        assert "<count>2</count><zone><id>" in reply.text
