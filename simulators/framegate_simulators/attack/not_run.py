"""What of a threat `make attack` cannot try against running programs, why not, and the test that
tries it instead.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class NotRun(NamedTuple):
    """A part of a threat that is left to `test`, for the reason `why`."""

    threat: str
    what: str
    why: str
    test: str


NOT_RUN: Final = (
    NotRun(
        "N109",
        "a virtual camera behind the driver",
        "takes a kernel that loads modules and measures them; forged lists stand for it",
        "test_n65_a_digest_counts_only_under_its_name",
    ),
    NotRun(
        "N126",
        "a caller of another user namespace",
        "not every kernel gives one to whoever asks",
        "test_n126_a_process_of_another_user_namespace_is_refused",
    ),
    NotRun(
        "N127",
        "a host that cannot confine",
        "a layer of this kernel would have to be taken away",
        "test_n127_a_gateway_does_not_serve_where_its_child_cannot_be_confined",
    ),
    NotRun(
        "N128",
        "permits in a PLC's coils",
        "the campaign's line hears signed decisions; make chaos-line kills the other output",
        "test_n128_permits_of_a_process_that_was_killed_are_gone_before_the_first_beat",
    ),
    NotRun(
        "N130",
        "strangers from many networks",
        "loopback is one network",
        "test_n130_strangers_from_everywhere_leave_machines_and_tickets_their_turn",
    ),
    NotRun(
        "N131",
        "a public EK shown from networks without end",
        "loopback is one network",
        "test_n131_networks_without_end_do_not_either",
    ),
    NotRun(
        "N138",
        "the addresses of a /64",
        "loopback has one IPv6 address",
        "test_n138_every_address_of_a_64_counts_as_one",
    ),
    NotRun(
        "N143",
        "a device code that a victim enters elsewhere",
        "takes two addresses and a provider with people who consent",
        "test_n143_a_device_flow_ends_only_where_it_began",
    ),
    NotRun(
        "N145",
        "answers of a model server",
        "takes a server of the Open Inference Protocol, which is not installed everywhere",
        "test_n145_whatever_comes_is_an_answer_or_a_bad_one",
    ),
    NotRun(
        "N148",
        "the camera's own look at the record",
        "the campaign's cameras are forged, and look at nothing",
        "test_n148_an_old_copy_is_noticed_by_everybody_and_made_good",
    ),
    NotRun(
        "N149",
        "a line's ledger",
        "its least room is 16 MiB: more parts than a line sees in a day",
        "test_n149_over_its_quota_the_oldest_go_first_and_the_file_grows_no_more",
    ),
    NotRun(
        "N213",
        "real evidence of a provider's virtual TPM, and reports by a chip maker that is trusted",
        "takes a machine of a provider; forged reports and real ones that were kept stand for it",
        "test_n213_what_a_provider_did_not_say_of_this_tpm",
    ),
    NotRun(
        "N214",
        "answers of an attested model server",
        "the campaign's floor has no second host for models; a server on a real port stands for it",
        "test_n214_an_answer_to_something_else_is_replayed_or_altered",
    ),
    NotRun(
        "N219",
        "a witness or a site that answers a byte at a time, a name of many addresses",
        "they are asked by the code that asks the provider; many addresses take a name server",
        "test_n219_all_addresses_of_a_name_share_one_time",
    ),
    NotRun(
        "N220",
        "a gateway that answers an operator with what is no answer",
        "the campaign's gateways are real ones, and answer as they must",
        "test_n220_what_a_gateway_measured_is_looked_at_before_it_is_used",
    ),
    NotRun(
        "N226",
        "controllers of an earlier version beside this one's",
        "takes that version's source; make plants runs both on one database",
        "test_n226_controllers_of_before_are_replaced_under_load",
    ),
)
