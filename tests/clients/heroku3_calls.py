"""What people do with heroku3 (PyPI), each call with its effect looked at by another call."""

import os
import sys
import time

import heroku3
import heroku3.api

heroku3.api.HEROKU_URL = os.environ["SIESTA_URL"]
conn = heroku3.from_key(os.environ["HEROKU_API_KEY"])
APP = "con-heroku3"


def eventually(ask, patience=90):
    end = time.monotonic() + patience
    while True:
        found = ask()
        if found or time.monotonic() > end:
            assert found, ask
            return found
        time.sleep(0.3)


def account():
    assert conn.account().email == "ana@example.org"
    assert conn.is_authenticated
    assert conn.ratelimit_remaining() > 0
    assert conn.rate_limit.remaining > 0


def apps():
    made = conn.create_app(name="con-heroku3-otra")
    assert made.name in [app.name for app in conn.apps()]
    made.rename("con-heroku3-dos")
    assert conn.app("con-heroku3-dos").id == made.id
    conn.app("con-heroku3-dos").delete()
    assert "con-heroku3-dos" not in [app.name for app in conn.apps()]


def config():
    vars = conn.app(APP).config()
    vars["SALUDO"] = "hola"
    assert conn.app(APP).config()["SALUDO"] == "hola"
    conn.app(APP).update_config({"UNO": "1", "SALUDO": "adios"})
    assert conn.app(APP).config().to_dict() == {"SALUDO": "adios", "UNO": "1"}
    del vars["UNO"]
    assert "UNO" not in conn.app(APP).config()


def scale():
    app = conn.app(APP)
    assert {row.type: row.quantity for row in app.process_formation()} == {"web": 1, "worker": 0}
    app.scale_formation_process("worker", 1)
    eventually(lambda: [dyno for dyno in conn.app(APP).dynos() if dyno.type == "worker" and dyno.state == "up"])
    app.batch_scale_formation_processes({"worker": 0})
    eventually(lambda: not [dyno for dyno in conn.app(APP).dynos() if dyno.type == "worker"])


def dynos():
    app = conn.app(APP)
    eventually(lambda: [dyno for dyno in conn.app(APP).dynos() if dyno.name == "web.1" and dyno.state == "up"])
    web = [dyno for dyno in app.dynos() if dyno.name == "web.1"][0]
    before = web.id
    web.restart()
    eventually(lambda: [dyno for dyno in conn.app(APP).dynos() if dyno.state == "up" and dyno.id != before])
    app.restart()
    eventually(lambda: [dyno for dyno in conn.app(APP).dynos() if dyno.state == "up"])


def run():
    conn.app(APP).run_command_detached("echo desde-el-puntual", size="free")
    eventually(lambda: "desde-el-puntual" in conn.app(APP).get_log(lines=200))


def logs():
    text = conn.app(APP).get_log(lines=300)
    assert "heroku[web.1]: " in text and "app[api]: " in text, text
    only = conn.app(APP).get_log(lines=50, source="heroku", dyno="web.1")
    assert only and all("heroku[web.1]" in line for line in only.splitlines()), only
    for line in conn.app(APP).stream_log(lines=5, timeout=20):
        assert line
        break


def releases():
    app = conn.app(APP)
    before = app.releases()
    assert before[0].version == 1 and before[-1].user.email == "ana@example.org"
    target = [release for release in before if release.slug][0]
    conn.app(APP).config()["ROTO"] = "1"
    app.rollback("v%d" % target.version)
    after = conn.app(APP).releases()
    assert after[-1].description == "Rollback to v%d" % target.version
    assert "ROTO" not in conn.app(APP).config()
    slug = conn.app(APP).slug(after[-1].slug.id)
    assert slug.id == after[-1].slug.id


def collaborators():
    app = conn.app(APP)
    app.add_collaborator("bob@example.org", silent=True)
    assert "bob@example.org" in [one.user.email for one in conn.app(APP).collaborators()]
    app.remove_collaborator("bob@example.org")
    assert "bob@example.org" not in [one.user.email for one in conn.app(APP).collaborators()]


def domains():
    app = conn.app(APP)
    app.add_domain("heroku3.example.org", None)
    assert "heroku3.example.org" in [domain.hostname for domain in conn.app(APP).domains()]
    app.remove_domain("heroku3.example.org")
    assert "heroku3.example.org" not in [domain.hostname for domain in conn.app(APP).domains()]


def drains():
    app = conn.app(APP)
    made = app.create_logdrain("https://127.0.0.1:9/in")
    assert [drain.url for drain in conn.app(APP).logdrains()] == ["https://127.0.0.1:9/in"]
    app.remove_logdrain(made.id)
    assert len(conn.app(APP).logdrains()) == 0


def maintenance():
    app = conn.app(APP)
    app.enable_maintenance_mode()
    assert conn.app(APP).maintenance is True
    app.disable_maintenance_mode()
    assert conn.app(APP).maintenance is False


def features():
    app = conn.app(APP)
    app.disable_feature("preboot")
    assert {one.name: one.enabled for one in conn.app(APP).features()}["preboot"] is False
    app.enable_feature("preboot")
    assert {one.name: one.enabled for one in conn.app(APP).features()}["preboot"] is True


def addons():
    assert "heroku-postgresql" in [service.name for service in conn.addon_services()]
    made = conn.app(APP).install_addon("heroku-postgresql:mini")
    assert made.id in [addon.id for addon in conn.app(APP).addons()]
    made.delete()
    eventually(lambda: len(conn.app(APP).addons()) == 0)


def keys():
    spare = os.environ["SPARE_AUTHORIZATION"]
    assert spare in [one.id for one in conn.oauthauthorizations()]
    conn.oauthauthorization_delete(spare)
    assert spare not in [one.id for one in conn.oauthauthorizations()]
    assert len(conn.keys()) == 0


CALLS = [account, apps, config, scale, dynos, run, logs, releases, collaborators, domains, drains, maintenance, features, addons, keys]

if __name__ == "__main__":
    failed = 0
    for call in CALLS:
        try:
            call()
            print("ok", call.__name__, flush=True)
        except Exception as error:  # noqa: BLE001 - each call has its own verdict
            failed += 1
            print("not ok", call.__name__, type(error).__name__, error, getattr(getattr(error, "response", None), "text", ""), flush=True)
    sys.exit(1 if failed else 0)
