//! Ten thousand rows, written by a real app through its own `DATABASE_URL`: the warning, the refusal and the
//! recovery, as they are seen in the app, in its log and on the add-on's page.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use siesta::domain::user::Actor;
use tower::ServiceExt as _;

use super::{
    cellar::{Cellar, with_cellar},
    isolation::firewall,
};
use crate::{
    engine_contract::tar_of,
    support::yard::{Yard, succeeded},
};

/// `/add/N` adds N games, `/count` counts them, `/delete/N` leaves N: with the very libpq every stack has.
const GAMES: &[u8] = br#"
import ctypes, http.server, os

pq = ctypes.CDLL("libpq.so.5")
for name in ("PQconnectdb", "PQexec"):
    getattr(pq, name).restype = ctypes.c_void_p
for name in ("PQerrorMessage", "PQresultErrorMessage", "PQgetvalue"):
    getattr(pq, name).restype = ctypes.c_char_p

def say(sql):
    me = ctypes.c_void_p(pq.PQconnectdb(os.environ["DATABASE_URL"].encode()))
    result = ctypes.c_void_p(pq.PQexec(me, sql.encode()))
    said = pq.PQresultErrorMessage(result) or pq.PQerrorMessage(me)
    if not said:
        said = pq.PQgetvalue(result, 0, 0) if pq.PQntuples(result) else b"done"
    pq.PQclear(result)
    pq.PQfinish(me)
    return said

class Games(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        word, _, number = self.path.strip("/").partition("/")
        number = int(number or 0)
        said = {
            "add": lambda: say("insert into games select generate_series(1, %d)" % number),
            "count": lambda: say("select count(*) from games"),
            "delete": lambda: say("delete from games where ctid in (select ctid from games offset %d)" % number),
            "": lambda: say("create table if not exists games (id int)"),
        }[word]()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said)

http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Games).serve_forever()
"#;

/// The page of the app's database, as its owner's browser gets it.
async fn page(cellar: &Cellar, owner: &Actor, addon: &str) -> String {
    let request = Request::get(format!("/apps/tienda/addons/{addon}")).header("host", "localhost:8080");
    let request = request.header("cookie", cellar.cookie(owner).await);
    let request = request.header("accept", "text/html").header("accept-language", "en").body(Body::empty()).unwrap();
    let answer = cellar.owners.web().oneshot(request).await.unwrap();
    String::from_utf8_lossy(&answer.into_body().collect().await.unwrap().to_bytes()).into_owned()
}

#[tokio::test]
async fn ten_thousand_rows_of_a_real_app_are_warned_of_refused_and_allowed_again_in_app_log_and_page() {
    firewall();
    with_cellar(&["--postgres-idle-after", "31536000"], async |cellar| {
        let ana = cellar.person("ana@example.org").await;
        let app = cellar.app_of("tienda", &ana).await;
        let addon = cellar.database(&app).await;
        let yard = Yard::of(&cellar.owners, ana.clone(), cellar.data.path());
        let archive = tar_of(&[("Procfile", b"web: python app.py\n"), ("requirements.txt", b""), ("app.py", GAMES)]);
        succeeded(yard.deploy(app.id, archive).await);
        let ask = async |path: &str| yard.answer("tienda", path).await.trim().to_owned();
        // What the server does every minute until a line of the log is there, and a word of the page.
        let seen = async |line: &str, word: &str| {
            let said = async || {
                let log = cellar.log(&app).await;
                log.iter().filter(|said| said.starts_with("heroku-postgres: ") && said.contains(line)).count()
            };
            let swept = async {
                while said().await == 0 {
                    // The database's own statistics come a moment after the app's answer.
                    cellar.owners.addons.sweep().await;
                    cellar.clock.advance(Duration::from_secs(3600));
                }
            };
            tokio::time::timeout(Duration::from_secs(90), swept).await.unwrap_or_else(|_| panic!("never said: {line}"));
            assert_eq!(said().await, 1, "{line}");
            let page = page(cellar, &ana, &addon.name).await;
            assert!(page.contains(word), "{word}: {page}");
        };
        assert_eq!(ask("/").await, "done");
        assert_eq!(ask("/add/7000").await, "done");
        seen("has 7000 of 10000 rows (70% of its plan)", "More than 70 % of the rows").await;
        assert_eq!(ask("/add/2000").await, "done");
        seen("has 9000 of 10000 rows (90% of its plan)", "Nearly all rows of the plan are in use").await;
        assert_eq!(ask("/add/1001").await, "done");
        seen("has 10001 rows, more than the 10000 of its plan. INSERT will be refused from", "INSERT will be refused").await;
        assert_eq!(ask("/add/1").await, "done", "a week of grace");
        cellar.clock.advance(Duration::from_secs(7 * 24 * 3600));
        seen("INSERT is refused until rows are deleted", "INSERT is refused").await;
        let refused = ask("/add/1").await;
        assert!(refused.contains("permission denied for table games"), "{refused}");
        assert_eq!(ask("/count").await, "10002", "reading goes on");
        assert_eq!(ask("/delete/500").await, "done");
        seen("has 500 of 10000 rows. INSERT is allowed again", "rows").await;
        assert_eq!(ask("/add/1").await, "done");
        assert_eq!(ask("/count").await, "501");
        let page = page(cellar, &ana, &addon.name).await;
        assert!(!page.contains("INSERT is refused"), "{page}");
    })
    .await;
}
