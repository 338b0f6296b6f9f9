# SPDX-License-Identifier: BSD-2-Clause
"""A login that is refused is tried once, by the real programs, and the words say what is wrong."""

import lib

WRONG = "535 5.7.8 Authentication credentials invalid"


def refuse(sink, code=535, text="5.7.8 Authentication credentials invalid"):
    for port in sink.ports:
        sink.fault(port, "auth", code, text=text)


def logins(sink):
    """So many were tried."""
    return sum(n for p in sink.ports for k, n in sink.stats(p).items() if k.startswith("logins"))


def account(posthouse):
    return posthouse.ctl("status")["relays"][0]


def wait_kept(posthouse, words):
    """Until the file has these words; each look is a request to the daemon, so it gets its turn."""
    path = posthouse.place / "state/spool/accounts"
    deadline = lib.time.monotonic() + lib.PATIENCE
    while not path.exists() or words not in path.read_text():
        if lib.time.monotonic() > deadline:
            raise lib.Failure(f"{path} never has {words!r}: {path.exists() and path.read_text()}")
        account(posthouse)


def reload(posthouse):
    start = posthouse.process.mark()
    posthouse.process.child.send_signal(lib.signal.SIGHUP)
    posthouse.process.wait_line("\\breloaded", start)


def set_password(posthouse, text):
    (posthouse.place / "password").write_text(text + "\n")


def test_killed_and_started_again_is_one_login():
    with lib.world("login", before=refuse) as (sink, posthouse):
        posthouse.submit(lib.new_token())
        posthouse.process.wait_line("account-blocked .*class=auth_refused")
        wait_kept(posthouse, "state: blocked")
        tried = logins(sink)
        assert tried == 1
        sink.reset_all()            # a login would succeed now
        tried = logins(sink)
        for _ in range(5):
            posthouse.kill()
            posthouse.start()
            posthouse.submit(lib.new_token())
            posthouse.process.wait_line(f'account-blocked .*detail="{WRONG}"')
            assert account(posthouse)["account"] == "blocked", account(posthouse)
        posthouse.stop()
        posthouse.start()
        reload(posthouse)           # the same password
        assert account(posthouse)["account"] == "blocked", account(posthouse)
        assert sink.messages() == []
        assert logins(sink) == tried

        # Another one is tried at once; it is wrong, and that is known of it, too.
        start = posthouse.process.mark()
        set_password(posthouse, "another")
        reload(posthouse)
        posthouse.process.wait_line("account-changed", start)
        posthouse.process.wait_line("account-blocked", start)
        wait_kept(posthouse, "state: blocked")
        tried += 1
        assert logins(sink) == tried
        posthouse.kill()
        posthouse.start()
        assert account(posthouse)["account"] == "blocked", account(posthouse)
        assert logins(sink) == tried
        set_password(posthouse, sink.PASSWORD)
        reload(posthouse)
        sink.wait_received(6)
        posthouse.stop()
        for path in (posthouse.place / "state/spool").glob("accounts*"):
            assert path.stat().st_mode & 0o777 == 0o600, path
            assert sink.PASSWORD not in path.read_text() and "another" not in path.read_text()


def test_unblock_of_one_relay():
    with lib.world("unblock", before=refuse) as (sink, posthouse):
        posthouse.submit(lib.new_token())
        posthouse.process.wait_line("account-blocked")
        sink.reset_all()
        posthouse.ctl("unblock", "main")
        sink.wait_received(1)
        wait_kept(posthouse, "proven: yes")
        assert account(posthouse)["account"] == account(posthouse)["state"] == "available"


def test_advice_says_which_mistake_it_is():
    def want_app_password(sink):
        refuse(sink, 534, "5.7.9 Application-specific password required")

    with lib.world("advice", before=want_app_password) as (sink, posthouse):
        name = posthouse.submit(lib.new_token())
        posthouse.process.wait_line("account-blocked .*advice=.*app password")
        row = account(posthouse)
        assert row["account"] == row["state"] == "blocked" and row["account_class"] == "auth_refused"
        assert row["account_since"] < row["account_until"], row
        assert "app password" in row["advice"], row
        assert "app password" in posthouse.ctl("explain", name)["advice"]
        assert {r["account"] for r in posthouse.ctl("ports")["ports"]} == {"blocked"}
        text = lib.subprocess.run(
            [posthouse.bin / "posthousectl", "-c", posthouse.config, "ports"], capture_output=True,
            text=True, timeout=lib.PATIENCE, **posthouse._as_user()).stdout
        line = lib.re.search("^main account: +blocked: the login was refused.*app password", text, lib.re.M)
        assert line, text


def test_a_used_up_quota_waits_for_its_reset():
    def use_up(sink):
        for port in sink.ports:
            sink.fault(port, "mail", 454, text="Throttling failure: Daily message quota exceeded.")

    with lib.world("quota", before=use_up) as (sink, posthouse):
        posthouse.submit(lib.new_token())
        posthouse.process.wait_line("account-exhausted .*class=quota_used_up")
        until = account(posthouse)["account_until"]
        wait_kept(posthouse, "state: exhausted")
        sink.reset_all()
        posthouse.kill()
        posthouse.start()
        row = account(posthouse)
        assert (row["account"], row["state"]) == ("exhausted", "exhausted"), row
        assert row["account_until"][:16] == until[:16], (row, until)    # the same minute
        assert sink.messages() == []
        posthouse.ctl("unblock")
        sink.wait_received(1)


def unjudged(name, code, **fault):
    """A world in which each login meets that, in which some mail waits, and one was paused for it."""
    def before(sink):
        for port in sink.ports:
            sink.fault(port, "auth", code, **fault)
    return lib.world(name, before=before)


def aimed(sink):
    """AUTH commands, whatever became of them; for each port."""
    return [sum("* fault" in line and " auth" in line and f" {port}" in line for line in sink.lines)
            for port in sink.ports]


def test_logins_that_nobody_judges_are_few():
    cases = (("cut", "cut", {}, "auth_unanswered", "got no answer"),
             ("503", "503", {"text": "5.5.1 bad sequence of commands"}, "auth_not_taken",
              "does not know the command"))
    for name, code, fault, word, says in cases:
        with unjudged(name, code, **fault) as (sink, posthouse):
            start = posthouse.process.mark()
            for _ in range(5):
                posthouse.submit(lib.new_token())
            posthouse.process.wait_line(f"account-paused .*class={word}", start)
            wait_kept(posthouse, "open: 2")
            row = account(posthouse)
            assert (row["account"], row["account_class"]) == ("paused", word), row
            assert says in row["why"], row
            for _ in range(3):          # nor do restarts and reloads add any
                posthouse.kill()
                posthouse.start()
                posthouse.submit(lib.new_token())
                assert account(posthouse)["account"] == "paused", account(posthouse)
            reload(posthouse)
            assert sum(aimed(sink)) == 2, aimed(sink)
            assert max(aimed(sink)) == 1, aimed(sink)       # and two ports
            sink.reset_all()
            posthouse.ctl("unblock")
            sink.wait_received(8)


def test_killed_while_the_answer_is_awaited():
    with unjudged("awaited", "hang") as (sink, posthouse):
        posthouse.submit(lib.new_token())
        wait_kept(posthouse, "open: 1")
        posthouse.kill()
        sink.reset_all()
        posthouse.start()
        posthouse.process.wait_line('account-paused .*class=auth_unanswered .*detail="no answer to its last')
        assert "is paused" in posthouse.ctl("status")["relays"][0]["why"]
        posthouse.ctl("unblock", "main")
        sink.wait_received(1)


def test_two_relays_with_one_login():
    with lib.world("shared", before=refuse) as (sink, posthouse):
        start = posthouse.process.mark()
        first = posthouse.settings["relays"][0]
        posthouse.settings["relays"] = [first, dict(first, name="again")]
        posthouse.write_config()
        reload(posthouse)
        posthouse.submit(lib.new_token())
        posthouse.process.wait_line("account-blocked relay=main", start)
        posthouse.process.wait_line("account-blocked relay=again", start)
        assert logins(sink) == 1
        for row in posthouse.ctl("status")["relays"]:
            assert f"the account of {row['relay']} at " in row["why"], row
        sink.reset_all()
        done = posthouse.ctl("unblock", "again")["done"]
        assert done.endswith(": again, and main, which has the same login"), done
        line = posthouse.process.wait_line("account-available relay=main", start)
        assert "refused" not in line and "535" not in line, line
        sink.wait_received(1)


lib.run_tests(globals())
