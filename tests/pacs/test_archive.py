"""Addresses, logins and queries: what is understood, and what is refused in one line."""

from pathlib import Path

import pytest

from unpaired.errors import InputError
from unpaired.pacs.archive import Address, Login, Query, is_uid, read_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:8042/dicom-web/", Address(url="http://127.0.0.1:8042/dicom-web")),
        ("https://pacs.example/rs", Address(url="https://pacs.example/rs", tls=True)),
        ("dicom://PACS@10.0.0.1:104", Address(title="PACS", host="10.0.0.1", port=104)),
        ("dicoms://PACS@pacs.example:2762", Address(title="PACS", host="pacs.example", port=2762, tls=True)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert read_address(text) == address
    assert str(address) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    ["", "pacs", "ftp://pacs/x", "dicom://pacs:104", "dicom://A@pacs", "dicom://A@pacs:x", "dicom://A@:1", "http://"],
)
def test_what_is_no_address_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match=r"expected an archive's address such as https://.* dicom://"):
        read_address(text)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match="netrc") as caught:
        read_address("https://me:secret@pacs.example/rs")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("title", ["", " ", "X" * 17, "A\\B", "Ä", "A\nB"])
def test_what_is_no_title_is_refused(title: str) -> None:
    with pytest.raises(InputError, match="AE title"):
        Login(title)


def test_certificates_have_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none at"):
        Login(authority=tmp_path / "ca.pem")
    (tmp_path / "key.pem").touch()
    with pytest.raises(InputError, match="a key without a certificate"):
        Login(key=tmp_path / "key.pem")


@pytest.mark.parametrize("date", ["2026-01-31", "202601", "20260101-2026", "x"])
def test_dates_are_dicoms(date: str) -> None:
    with pytest.raises(InputError, match="expected a day as 20260131"):
        Query(date=date)
    assert not Query(date="20260131-").is_empty()


@pytest.mark.parametrize(
    ("text", "right"), [("1.2.840", True), ("1", True), ("1..2", False), ("../x", False), ("1." * 40 + "1", False)]
)
def test_only_uids_name_files(text: str, right: bool) -> None:
    assert is_uid(text) is right
