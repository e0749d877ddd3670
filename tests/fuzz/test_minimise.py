"""The smallest story: the fewest frames, each as short and plain as what fails allows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from packetrig.errors import Error
from packetrig.fuzz import plainer
from packetrig.fuzz.minimise import MOST_FRAMES, Story, search, smallest
from packetrig.packets import craft, frames

NETWORK = craft.Network(bytes((10, 1, 2, 3)), bytes((10, 9, 9, 9)), ttl=3, tos=8, options=b"\1" * 8)
REQUEST = craft.ethernet(
    NETWORK.packet(
        craft.tcp(
            b"GET /secret HTTP/1.1\r\nHost: example.org\r\n\r\n" * 9,
            NETWORK,
            source_port=1234,
            destination_port=8080,
            options=b"\1" * 12,
        ),
        craft.TCP,
    ),
    frames.ETHERTYPE_IPV4,
    vlans=(5, 7),
)
OTHER = craft.V6.frame(craft.udp(b"hello", craft.V6), craft.UDP)


def names(frame: bytes) -> list[str]:
    return [header.name for header in frames.walk(frame)]


def last_has(what: bytes) -> Callable[[Story], bool]:
    return lambda story: what in frames.payload(story[-1]) and "TCP" in names(story[-1])


def test_frames_before_that_do_not_matter_are_left_out() -> None:
    assert len(smallest([OTHER, REQUEST, OTHER, REQUEST], last_has(b"GET "))) == 1


def test_frames_before_that_matter_stay_in_their_order() -> None:
    marked = [OTHER[:-1] + bytes((n,)) for n in range(9)]

    def fails(story: Story) -> bool:
        ends = [frame[-1] for frame in story[:-1] if frame]
        return 3 in ends and 6 in ends and ends.index(3) < ends.index(6)

    story = smallest([*marked, REQUEST], fails)

    assert len(story) == 3
    assert fails(story)


def test_headers_options_and_bytes_that_do_not_matter_go() -> None:
    (frame,) = smallest([REQUEST], last_has(b"GET "))

    assert names(frame) == ["Ether", "IP", "TCP"]
    assert len(frame) == 14 + 20 + 20 + 4
    assert frames.payload(frame) == b"GET "


def test_lengths_and_checksums_are_right_where_they_do_not_matter() -> None:
    (frame,) = smallest([REQUEST], last_has(b"GET "))

    assert plainer.sound(frame) == frame
    assert frames.bad_checksums(frame) == []


def test_a_wrong_length_that_matters_stays() -> None:
    lying = REQUEST[:24] + b"\xff\xff" + REQUEST[26:]

    def fails(story: Story) -> bool:
        headers = frames.walk(story[-1])
        ips = [header for header in headers if header.layer == "IP" and header.length >= 20]
        at = ips[0].offset + 2 if ips else 0
        return bool(at) and story[-1][at : at + 2] == b"\xff\xff"

    (frame,) = smallest([lying], fails)

    assert names(frame)[:2] == ["Ether", "IP"]
    assert fails((frame,))


def test_fields_get_the_values_that_are_usual() -> None:
    (frame,) = smallest([REQUEST], last_has(b"GET "))

    assert frame[:12] == craft.MAC_DESTINATION + craft.MAC_SOURCE
    assert frame[26:34] == craft.V4.source + craft.V4.destination
    assert (frame[22], frame[15]) == (64, 0)  # ttl, tos
    assert frame[34:38] == (40000).to_bytes(2, "big") + (80).to_bytes(2, "big")


def test_a_number_that_matters_comes_as_near_to_the_usual_one_as_it_can() -> None:
    def fails(story: Story) -> bool:
        found = [h for h in frames.walk(story[-1]) if h.layer == "IP" and h.is_whole]
        return bool(found) and story[-1][found[0].offset + 8] < 60

    (frame,) = smallest([REQUEST], fails)

    assert frame[22] == 59


def test_a_tunnel_that_does_not_matter_goes() -> None:
    inner = NETWORK.packet(craft.udp(b"x", NETWORK), craft.UDP)
    tunnel = craft.V6.frame(inner, 4)

    (frame,) = smallest([tunnel], lambda story: "UDP" in names(story[-1]))

    assert names(frame) == ["Ether", "IP", "UDP"]


def test_extension_headers_that_do_not_matter_go() -> None:
    padding = b"\x00\x01\x04\0\0\0\0"
    network = craft.Network(
        craft.V6.source, craft.V6.destination, extensions=((0, padding), (60, padding))
    )
    frame = network.frame(craft.udp(b"x", network), craft.UDP)

    (found,) = smallest([frame], lambda story: "UDP" in names(story[-1]))

    assert names(found) == ["Ether", "IPv6", "UDP"]


def test_a_length_that_matters_is_the_least() -> None:
    (frame,) = smallest([REQUEST], lambda story: len(story[-1]) >= 300)

    assert len(frame) == 300
    assert frame[14:] == bytes(286), "and nothing else of it is left"


def test_the_answer_is_the_same_each_time() -> None:
    assert search([OTHER, REQUEST], last_has(b"GET ")) == search(
        [OTHER, REQUEST], last_has(b"GET ")
    )


def test_a_story_that_cannot_be_told_is_not_this_failure() -> None:
    def fails(story: Story) -> bool:
        if len(story[-1]) < 100:
            raise Error("the kernel refuses it")
        return True

    (frame,) = smallest([REQUEST], fails)

    assert len(frame) == 100


def test_no_more_is_tried_than_allowed_and_what_was_found_by_then_is_given() -> None:
    tried: list[Story] = []

    def fails(story: Story) -> bool:
        tried.append(story)
        return last_has(b"GET ")(story)

    found = search([REQUEST], fails, most=5)

    assert len(tried) == found.tries == 5
    assert last_has(b"GET ")(found.frames)


def test_where_only_the_number_of_frames_matters_they_are_all_the_same() -> None:
    story = smallest([REQUEST, OTHER] * 400, lambda story: len(story) > 300)

    assert (len(story), len(set(story))) == (301, 1)


def test_a_long_story_costs_no_more_than_so_many_frames() -> None:
    told = 0

    def fails(story: Story) -> bool:
        nonlocal told
        told += len(story)
        return len(story) >= 900

    story = smallest([bytes(14)] * 1024, fails)

    assert 900 <= len(story) < 1024
    assert told < MOST_FRAMES + 1024


def test_what_did_not_fail_is_told_the_nearest_last() -> None:
    found = search([REQUEST], last_has(b"GET "))

    assert found.passing
    assert not any(last_has(b"GET ")(story) for story in found.passing)
    assert len(found.passing[-1][-1]) <= len(found.frames[-1])


@pytest.mark.parametrize("size", [0, 1, 13, 14, 15, 33, 34, 53])
def test_any_bytes_can_be_made_plainer(size: int) -> None:
    (frame,) = smallest([REQUEST[:size]], lambda _: True)

    assert len(frame) <= size
