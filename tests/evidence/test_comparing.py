"""Whoever compares two witnesses finds that they were shown two histories, and has the proof in hand."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tallystick.evidence import checkpoints, errors, notes, policy, tiles
from tallystick.evidence.witness import asking, comparing, witnessing
from tests.evidence.outsider import SPARSE, PaperLog, outsider

NOW = 1_790_000_000


def trusting(log, *witnesses):
    """The policy of somebody who trusts this log and these (name, key, address)."""
    lines = [f"log {log.vkey}", *(f"witness {name} {key.text} {url}" for name, key, url in witnesses)]
    return "\n".join([*lines, "quorum none", ""])


class Two:
    """A bank and a regulator, each shown its own history."""

    def __init__(self, folder, first, second):
        self.logs = {"http://bank": first, "http://regulator": second}
        self.witnesses = {}
        for url, log in self.logs.items():
            name = url.removeprefix("http://")
            known = [witnessing.Log(log.origin, (log.signer.key,))]
            witness = witnessing.open_witness(folder / name, known, name=f"{name}.example")
            assert witness.add_checkpoint(log.request(0), now_seconds=NOW).status == 200
            self.witnesses[url] = witness

    @property
    def policy(self):
        named = [(url.removeprefix("http://"), each.keys[0], url) for url, each in self.witnesses.items()]
        return policy.parse(trusting(self.logs["http://bank"], *named).encode())

    def fetch(self, url, origin):
        return self.witnesses[url].store.head(origin).note


@pytest.fixture
def log():
    return PaperLog().grow(700)


def published(log, folder, size=None):
    """The log's tiles and checkpoint as files."""
    at = len(log.leaves) if size is None else size
    tree = tiles.TiledTree()
    for each in tree.append(b"".join(log.leaves[:at])):
        path = folder / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.hashes)
    (folder / "checkpoint").write_bytes(log.note(at))
    return folder


def test_two_roots_of_one_size_are_a_split_view_and_the_notes_prove_it(tmp_path, log):
    two = Two(tmp_path, log, log.branched(600).grow(100, "forged"))
    found = comparing.shown(two.policy, two.fetch)
    (split,) = comparing.splits(found)
    assert {split.first.witness, split.second.witness} == {"bank", "regulator"}
    # A third person needs the notes and the log's key, nothing else.
    verifier = notes.verifier(log.signer.key)
    first, second = (checkpoints.open(each.note, [verifier]) for each in (split.first, split.second))
    assert (first.origin, first.size) == (second.origin, second.size)
    assert first.root != second.root


def test_one_history_is_no_split_view_however_far_each_has_seen_it(tmp_path, log):
    two = Two(tmp_path, log, log.branched(300))
    found = comparing.shown(two.policy, two.fetch)
    assert [each.checkpoint.size for each in found] == [700, 300]
    assert comparing.splits(found) == []
    folder = published(log, tmp_path / "files")
    assert comparing.strangers(found, folder, [log.signer.key]) == []


def test_two_sizes_are_told_apart_by_what_is_published(tmp_path, log):
    """The regulator was shown a history that forked and went on: no size is the same, and no proof fits."""
    two = Two(tmp_path, log, log.branched(600).grow(50, "forged"))
    found = comparing.shown(two.policy, two.fetch)
    assert comparing.splits(found) == []
    folder = published(log, tmp_path / "files")
    assert [each.witness for each in comparing.strangers(found, folder, [log.signer.key])] == ["regulator"]
    # What is not published yet is not published.
    early = published(log, tmp_path / "early", 690)
    assert {each.witness for each in comparing.strangers(found, early, [log.signer.key])} == {
        "bank",
        "regulator",
    }


def test_files_that_were_spoiled_accuse_nobody(tmp_path, log):
    two = Two(tmp_path, log, log.branched(300))
    found = comparing.shown(two.policy, two.fetch)
    folder = published(log, tmp_path / "files")
    path = folder / tiles.tile_path(0, 1)
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    with pytest.raises(errors.ProofRefused):
        comparing.strangers(found, folder, [log.signer.key])


def test_what_a_witness_shows_is_believed_for_its_signature_alone(tmp_path, log):
    two = Two(tmp_path, log, log)
    lies = [
        log.note(),
        two.fetch("http://bank", log.origin),
        b"nonsense",
        asking.Declined(404, "unknown log"),
        asking.Unreachable("it took too long"),
    ]
    for lie in lies:
        _, regulator = comparing.shown(
            two.policy, lambda url, origin, lie=lie: lie if "regulator" in url else two.fetch(url, origin)
        )
        assert regulator.checkpoint is None
        assert regulator.trouble


def test_the_command_compares_running_witnesses_without_an_installation(tmp_path, log):
    fork = log.branched(600).grow(100, "forged")
    with (
        outsider(tmp_path / "a", [log.vkey], name="bank.example") as bank,
        outsider(tmp_path / "b", [log.vkey], name="regulator.example") as regulator,
    ):
        file = tmp_path / "policy"
        told = [
            (name, each.keys[0], each.address) for name, each in (("bank", bank), ("regulator", regulator))
        ]
        file.write_text(trusting(log, *told))
        command = ["evidence", "compare-witnesses", "--policy", str(file), "--json"]

        def compared():
            run = [sys.executable, "-P", "-m", "tallystick", *command]
            done = subprocess.run(run, env=SPARSE, capture_output=True, text=True, check=False)
            return done.returncode, json.loads(done.stdout)

        assert bank.post(log.request(0))[0] == 200
        code, found = compared()
        assert (code, found["splits"], found["shown"][1]["trouble"]) == (0, [], "404 unknown log")
        assert regulator.post(fork.request(0))[0] == 200
        code, found = compared()
        assert code == 1
        ((first, second),) = found["splits"]
        assert (first["witness"], second["witness"]) == ("bank", "regulator")
