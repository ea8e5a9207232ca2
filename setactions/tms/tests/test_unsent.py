"""Where nothing was sent, the sentence that says why: each cause by itself, with whom to ask, and no secret."""

import errno
import logging
import os
import socket
import ssl

import pytest
from cryptography import x509

from audit.choices import Kind
from setactions.tms import client
from setactions.tms.clusters import Call, Cluster, Target
from setactions.tms.tests.listening import Authority, closing, full, listening
from setactions.tms.unsent import Connection
from setactions.token import Token
from tmsdash.tests.fixtures import TOKEN

OTHER_NAME = [x509.DNSName("other.example")]
# A certificate, how it is wrong, what is said of it, and OpenSSL's reason.
CERTIFICATES = {
    "expired": ({"from_day": -3, "to_day": -1}, "has expired", "certificate has expired"),
    "not yet valid": ({"from_day": 1, "to_day": 3}, "is not valid yet", "certificate is not yet valid"),
    "another name": ({"names": OTHER_NAME}, "is for another host name", "IP address mismatch"),
    "self-signed": ({"is_self_signed": True}, "is self-signed and not trusted", "self-signed certificate"),
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


def unsent(url, *, says, reason):
    """The message of a call and of a read that were not sent; both say the same, in one line and without the token."""
    cluster = Cluster("evian3", url)
    reply = client.set_action(cluster, "PE-Enable", ("a1",), Token(TOKEN))
    reading = client.read(Target(cluster, Call.GET_ACTION, (("cid", "a"),)), Token(TOKEN))
    for answer in (reply, reading):
        assert (answer.kind, answer.ok, answer.http_status) == (Kind.NOT_SENT, False, None)
        assert says in answer.message
        assert "so nothing was sent" in answer.message
        assert "Ask " in answer.message
        assert "Technical reason: " in answer.message
        assert reason in answer.message.partition("Technical reason: ")[2]
        assert len(answer.message) <= 500  # what the audit's list and a batch keep of it
        assert TOKEN not in answer.message
        assert not any(trace in answer.message for trace in ("Error", "urllib3", "_ssl.c", "Pool", "object at"))
    return reply.message


def test_a_refused_connection_names_the_address_and_whom_to_ask():
    message = unsent("http://127.0.0.1:2", says="connection to 127.0.0.1:2 was refused", reason="Connection refused")
    assert "Ask whoever runs the cluster" in message
    assert "TMS_CLUSTERS" in message


def test_an_unknown_name_is_told_as_one():
    message = unsent("https://tms.invalid", says="The host name tms.invalid could not be resolved", reason="")
    assert "DNS" in message


@pytest.mark.parametrize(
    ("code", "says"),
    [(socket.EAI_NONAME, "DNS does not know it"), (socket.EAI_AGAIN, "DNS gave no answer")],
)
def test_a_name_that_is_unknown_and_a_name_server_that_is_silent_differ(monkeypatch, code, says):
    def fail(*args, **kwargs):
        raise socket.gaierror(code, "as the system says")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    unsent("http://tms.example", says=says, reason="as the system says")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENETUNREACH, "The network has no route to 127.0.0.1:80"),
        (errno.EHOSTUNREACH, "The network has no route to 127.0.0.1:80"),
        (errno.ETIMEDOUT, "The connection to 127.0.0.1:80 timed out"),
    ],
)
def test_what_the_system_says_of_a_network_is_told_apart(monkeypatch, number, says):
    def fail(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket.socket, "connect", fail)
    unsent("http://127.0.0.1", says=says, reason="")


def test_a_host_that_answers_no_connection_times_out(monkeypatch):
    monkeypatch.setattr(client, "CONNECT_TIMEOUT_S", 0.2)
    with full() as address:
        unsent(f"http://{address}", says=f"connection to {address} timed out", reason="timed out")


def test_a_deadline_that_passes_in_the_handshake_is_told_as_a_time_out(settings):
    settings.TMS_DEADLINE_S = 0.2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        unsent(f"https://{address}", says=f"The cluster {address} took the connection, but timed out", reason="")


@pytest.mark.parametrize("name", CERTIFICATES)
def test_each_fault_of_a_certificate_is_told_by_itself(settings, authority, name):
    changes, says, reason = CERTIFICATES[name]
    settings.TMS_CA_BUNDLE = str(authority.file)
    with listening(authority.issue(**changes)) as server:
        message = unsent(f"https://127.0.0.1:{server.server_port}", says=says, reason=reason)
    assert server.requests == []
    assert [other for other in CERTIFICATES if CERTIFICATES[other][1] in message] == [name]


def test_an_unknown_authority_leads_to_the_setting_that_names_it(settings, authority):
    with listening(authority.issue()) as server:
        url = f"https://127.0.0.1:{server.server_port}"
        message = unsent(url, says="an authority that is not trusted", reason="unable to get local issuer certificate")
        assert "TMS_CA_BUNDLE" in message
        settings.TMS_CA_BUNDLE = str(authority.file)
        assert client.set_action(Cluster("c", url), "PE-Enable", ("a1",), Token(TOKEN)).http_status == 500


def test_a_certificate_for_another_host_name_is_told_of_a_name_too(settings, authority):
    settings.TMS_CA_BUNDLE = str(authority.file)
    with listening(authority.issue()) as server:
        unsent(f"https://localhost:{server.server_port}", says="is for another host name", reason="Hostname mismatch")


def test_a_port_for_plain_http_is_told_as_one():
    with listening() as server:
        unsent(f"https://127.0.0.1:{server.server_port}", says="does not speak TLS on this port", reason="version")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_server_with_old_versions_of_tls_only_is_told_as_one(authority):
    with listening(authority.issue(), maximum_version=ssl.TLSVersion.TLSv1_1) as server:
        unsent(f"https://127.0.0.1:{server.server_port}", says="no version of TLS in common", reason="protocol version")


def test_a_connection_that_closes_in_the_handshake_is_told_as_one():
    with closing() as address:
        unsent(f"https://{address}", says=f"The cluster {address} closed the connection", reason="")


@pytest.mark.parametrize(
    ("status", "says", "asks"),
    [
        (403, "refused to connect to tms.invalid:443", "whoever runs the proxy to allow it"),
        (407, "asks for a user name and password", "check those in TMS_PROXY"),
        (503, "could not connect to tms.invalid:443", "whoever runs the cluster"),
    ],
)
def test_a_proxy_that_refuses_is_named_without_its_password(settings, status, says, asks):
    with listening(status=status) as proxy:
        settings.TMS_PROXY = f"http://tms:hunter2@127.0.0.1:{proxy.server_port}"
        message = unsent("https://tms.invalid", says=says, reason=f"HTTP {status} from the proxy")
        assert f"proxy 127.0.0.1:{proxy.server_port} (TMS_PROXY)" in message
    assert asks in message
    assert "hunter2" not in message
    assert {command for command, _, _ in proxy.requests} == {"CONNECT"}
    assert TOKEN not in str(proxy.requests)


def test_a_proxy_that_cannot_be_reached_is_not_mistaken_for_the_cluster(settings):
    settings.TMS_PROXY = "http://127.0.0.1:2"
    message = unsent("https://tms.example", says="proxy 127.0.0.1:2 (TMS_PROXY) was refused", reason="refused")
    assert "Ask whoever runs the proxy" in message
    assert "tms.example" not in message


def test_a_host_name_stays_as_it_is_at_the_beginning_of_a_sentence(settings):
    connection = Connection("https://tms.example", "", is_connected=True, is_tunnelled=False)
    assert connection.why_timed_out("timed out").startswith("The cluster tms.example:443 took the connection")
    connection = Connection("https://tms.example", "http://gate.example:3128", is_connected=True, is_tunnelled=False)
    assert connection.why_timed_out("timed out").startswith(
        "The proxy gate.example:3128 (TMS_PROXY) took the connection"
    )
    unknown = connection.why_failed(socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert unknown.startswith("The host name gate.example could not be resolved")


def test_a_file_of_authorities_that_is_gone_leads_to_its_setting(settings, tmp_path):
    settings.TMS_CA_BUNDLE = str(tmp_path / "gone.pem")
    unsent("https://127.0.0.1:2", says="The file of TMS_CA_BUNDLE cannot be read", reason="No such file")


def test_no_file_descriptors_left_is_no_fault_of_the_cluster(monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", fail)
    reply = client.set_action(Cluster("c", "http://127.0.0.1:2"), "PE-Enable", ("a1",), Token(TOKEN))
    assert reply.kind == Kind.NOT_SENT
    assert "This server has no room for another connection" in reply.message


def test_what_breaks_after_it_was_sent_stays_unknown(tms):
    reply = client.set_action(Cluster("c", tms.url), "PE-Enable", ("a1",), Token("fault:reset-before"))
    assert reply.kind == Kind.UNKNOWN
    assert reply.message == "The connection broke before TMS answered (Connection reset by peer)."


def test_a_read_that_was_not_sent_leaves_one_line_in_the_log(caplog):
    caplog.set_level(logging.WARNING)
    unsent("http://127.0.0.1:2", says="was refused", reason="refused")
    [line] = caplog.messages
    assert line.startswith("[SET_ACTION] REQUEST_ERROR: ")
    assert "Technical reason: Connection refused." in line
