//! Drains into rsyslog as Debian ships it (`script/test` installs it).

use std::{
    fs,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use crate::{
    drains::{Authority, Draining},
    support::served::program,
};

/// An rsyslog of the test's own: no files but its folder's, a port of its own.
struct Rsyslog {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a file holds once `ready`; the program that writes it has a minute.
async fn file_with(path: &Path, ready: impl Fn(&str) -> bool) -> String {
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    let read = async {
        loop {
            pace.tick().await;
            if let Some(text) = fs::read_to_string(path).ok().filter(|text| ready(text)) {
                return text;
            }
        }
    };
    let text = tokio::time::timeout(Duration::from_secs(60), read).await;
    text.unwrap_or_else(|_| panic!("{} holds {:?}", path.display(), fs::read_to_string(path)))
}

impl Rsyslog {
    async fn start(tls: Option<&Authority>) -> Rsyslog {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let (global, driver) = match tls {
            None => (String::new(), String::new()),
            Some(authority) => {
                let file = |name: &str| authority.file(name).display().to_string();
                let files = format!(
                    "defaultNetstreamDriver=\"ossl\" defaultNetstreamDriverCAFile=\"{}\" defaultNetstreamDriverCertFile=\"{}\" defaultNetstreamDriverKeyFile=\"{}\"",
                    file("ca.pem"),
                    file("leaf.pem"),
                    file("key.pem")
                );
                (files, "streamDriver.name=\"ossl\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\"".to_owned())
            }
        };
        let settings = format!(
            "global(workDirectory=\"{at}\" {global})\n\
             module(load=\"imtcp\" {driver})\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"0\" listenPortFileName=\"{at}/port\")\n\
             template(name=\"line\" type=\"string\" string=\"%pri%|%hostname%|%app-name%|%procid%|%msg%|%timereported:::date-rfc3339%\\n\")\n\
             action(type=\"omfile\" file=\"{at}/out\" template=\"line\")\n"
        );
        fs::write(folder.path().join("conf"), settings).unwrap();
        let mut command = program("/usr/sbin/rsyslogd");
        command.args(["-n", "-f"]).arg(folder.path().join("conf")).arg("-i").arg(folder.path().join("pid"));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("the Debian packages rsyslog and rsyslog-openssl (script/test installs them)");
        let mut rsyslog = Rsyslog { child, port: 0, folder };
        rsyslog.port =
            file_with(&rsyslog.folder.path().join("port"), |text| text.trim().parse::<u16>().is_ok()).await.trim().parse().unwrap();
        rsyslog
    }

    async fn drained(&self, protocol: &str, ca: Option<&Path>) {
        let draining = Draining::start(self.port, ca).await;
        let drain = draining.add(&format!("{protocol}://localhost:{}", self.port)).await;
        for number in 0..500 {
            draining.print(&format!("line {number} ñ"));
        }
        let got = file_with(&self.folder.path().join("out"), |text| text.contains("line 499 ñ")).await;
        let got: Vec<&str> = got.lines().filter(|line| line.contains("line ")).collect();
        let expected = |number| format!("190|{}|app|web.1|line {number} ñ|2015-04-25T22:13:20.000000+00:00", drain.token);
        assert_eq!(got.len(), 500);
        assert!(got.iter().enumerate().all(|(number, line)| line.replace("| line", "|line") == expected(number)), "{:?}", &got[..3]);
        draining.house.stop().await;
    }
}

#[tokio::test]
async fn rsyslog_gets_every_line_over_tcp() {
    Rsyslog::start(None).await.drained("syslog", None).await;
}

#[tokio::test]
async fn rsyslog_gets_every_line_over_tls() {
    let authority = Authority::new();
    let rsyslog = Rsyslog::start(Some(&authority)).await;
    rsyslog.drained("syslog+tls", Some(&authority.file("ca.pem"))).await;
}
