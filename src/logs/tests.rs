//! The hub over a temporary file.

use futures_util::{FutureExt as _, StreamExt as _};

use super::*;
use crate::{clock::ManualClock, domain::Timestamp};

struct Fixture {
    folder: tempfile::TempDir,
    clock: ManualClock,
    tasks: Tasks,
    logs: Logs,
    app: AppId,
}

async fn open(folder: &tempfile::TempDir, clock: &ManualClock) -> (Tasks, Logs) {
    let tasks = Tasks::new();
    let logs = Logs::open(&folder.path().join("logs.db"), Arc::new(clock.clone()), &tasks).await.expect("a log file");
    (tasks, logs)
}

impl Fixture {
    async fn new() -> Fixture {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = ManualClock::at(Timestamp::from_secs(1_400_000_000));
        let (tasks, logs) = open(&folder, &clock).await;
        Fixture { folder, clock, tasks, logs, app: AppId::new() }
    }

    async fn restart(&mut self) {
        assert!(self.tasks.stop(Duration::from_secs(10)).await);
        (self.tasks, self.logs) = open(&self.folder, &self.clock).await;
    }

    fn print(&self, message: &str) {
        self.from("web.1", message);
    }

    fn from(&self, ps: &str, message: &str) {
        let at_micros = self.clock.now_micros();
        self.logs.append(self.app, LogLine { at_micros, source: Source::App, ps: ps.to_owned(), message: message.to_owned() });
    }

    async fn recent(&self, filter: &Filter, count: usize) -> Vec<(u64, String)> {
        let lines = self.logs.recent(self.app, filter, count).await.expect("lines");
        lines.into_iter().map(|(number, line)| (number, line.message.clone())).collect()
    }
}

fn named(numbers: std::ops::RangeInclusive<u64>) -> Vec<(u64, String)> {
    numbers.map(|n| (n, format!("line {n}"))).collect()
}

#[tokio::test]
async fn a_line_reads_as_heroku_prints_it() {
    let f = Fixture::new().await;
    f.logs.api(f.app, "Initial release by user me@example.com");
    f.logs.platform(f.app, "web.1", "State changed from starting to up");
    let lines = f.logs.recent(f.app, &Filter::default(), 10).await.unwrap();
    let text: Vec<String> = lines.iter().map(|(_, line)| line.to_string()).collect();
    assert_eq!(
        text,
        [
            "2014-05-13T16:53:20.000000+00:00 app[api]: Initial release by user me@example.com",
            "2014-05-13T16:53:20.000000+00:00 heroku[web.1]: State changed from starting to up",
        ]
    );
}

#[tokio::test]
async fn lines_and_numbers_go_on_after_a_restart() {
    let mut f = Fixture::new().await;
    for n in 1..=5 {
        f.print(&format!("line {n}"));
    }
    f.restart().await;
    assert_eq!(f.recent(&Filter::default(), 3).await, named(3..=5), "read from the file");
    f.print("line 6");
    assert_eq!(f.recent(&Filter::default(), 100).await, named(1..=6), "file and ring together");
    assert_eq!(f.recent(&Filter::default(), 2).await, named(5..=6));
}

#[tokio::test]
async fn only_the_last_1500_lines_are_kept() {
    let mut f = Fixture::new().await;
    for n in 1..=4_000 {
        f.print(&format!("line {n}"));
        if n % 1_000 == 0 {
            f.logs.flush().await;
        }
    }
    assert_eq!(f.recent(&Filter::default(), 10_000).await, named(2_501..=4_000));
    f.restart().await;
    assert_eq!(f.recent(&Filter::default(), 10_000).await, named(2_501..=4_000));
    let rows = f.logs.inner.file.read(f.app, 0, 10_000).await.unwrap().len();
    assert!((KEPT_LINES..2 * KEPT_LINES).contains(&rows), "whole blocks go: {rows}");
}

#[tokio::test]
async fn what_the_writer_could_not_follow_is_said() {
    let f = Fixture::new().await;
    for n in 1..=2_000 {
        f.print(&format!("line {n}"));
    }
    f.logs.flush().await;
    let said = f.recent(&Filter { ps: Some("logplex".to_owned()), ..Filter::default() }, 10).await;
    assert_eq!(said, [(2_001, "Error L10 (output buffer overflow): 500 messages dropped since 2014-05-13T16:53:20+00:00.".to_owned())]);
}

#[tokio::test]
async fn lines_older_than_seven_days_are_gone() {
    let mut f = Fixture::new().await;
    f.print("old");
    f.logs.flush().await;
    f.clock.advance(Duration::from_secs(8 * 86_400));
    f.print("new");
    let only_new = [(2, "new".to_owned())];
    assert_eq!(f.recent(&Filter::default(), 10).await, only_new);
    f.logs.flush().await;
    f.logs.inner.sweep().await;
    assert_eq!(f.logs.inner.file.read(f.app, 0, 10).await.unwrap().len(), 1);
    f.restart().await;
    assert_eq!(f.recent(&Filter::default(), 10).await, only_new);
}

#[tokio::test]
async fn a_long_line_is_cut_at_10000_bytes_between_characters() {
    let f = Fixture::new().await;
    f.print(&"ñ".repeat(7_500));
    f.print(&format!("x{}", "ñ".repeat(5_000)));
    f.print("two\r\nlines\n");
    f.print("");
    let lengths: Vec<usize> = f.recent(&Filter::default(), 10).await.iter().map(|(_, text)| text.len()).collect();
    assert_eq!(lengths, [10_000, 5_000, 9_999, 2, 3, 5, 0]);
}

#[tokio::test]
async fn a_filter_takes_a_dyno_a_process_type_a_source_or_a_text() {
    let f = Fixture::new().await;
    f.from("web.1", "One");
    f.from("web.2", "two");
    f.from("webhook.1", "three");
    f.logs.platform(f.app, "web.1", "State changed");
    let texts = async |filter: Filter| f.recent(&filter, 10).await.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("|");
    let ps = |ps: &str| Filter { ps: Some(ps.to_owned()), ..Filter::default() };
    assert_eq!(texts(ps("web")).await, "One|two|State changed");
    assert_eq!(texts(ps("web.1")).await, "One|State changed");
    assert_eq!(texts(Filter { source: Some(Source::App), ..ps("web.1") }).await, "One");
    assert_eq!(texts(Filter { text: Some("oNE".to_owned()), ..Filter::default() }).await, "One");
    assert_eq!(f.recent(&ps("web"), 1).await, [(4, "State changed".to_owned())]);
}

#[tokio::test]
async fn a_tail_gives_the_backlog_and_then_what_comes() {
    let f = Fixture::new().await;
    for n in 1..=3 {
        f.print(&format!("line {n}"));
    }
    let mut tail = f.logs.tail(f.app, Filter::default(), 2, None).await.unwrap();
    f.print("line 4");
    for expected in 2..=4 {
        assert!(matches!(tail.next().await, Some(TailItem::Line(number, _)) if number == expected));
    }
    assert!(tail.next().now_or_never().is_none(), "waits");
    f.print("line 5");
    assert!(matches!(tail.next().await, Some(TailItem::Line(5, _))));

    let mut resumed = f.logs.tail(f.app, Filter::default(), 100, Some(4)).await.unwrap();
    assert!(matches!(resumed.next().await, Some(TailItem::Line(5, _))));
    assert!(resumed.next().now_or_never().is_none());
}

#[tokio::test]
async fn a_slow_tail_is_told_how_much_it_missed() {
    let f = Fixture::new().await;
    let mut tail = f.logs.tail(f.app, Filter::default(), 0, None).await.unwrap();
    for n in 1..=1_600 {
        f.print(&format!("line {n}"));
    }
    assert!(matches!(tail.next().await, Some(TailItem::Dropped(100))));
    assert!(matches!(tail.next().await, Some(TailItem::Line(101, _))));
    let mut resumed = f.logs.tail(f.app, Filter::default(), 0, Some(1)).await.unwrap();
    assert!(matches!(resumed.next().await, Some(TailItem::Dropped(99))));
    assert!(matches!(resumed.next().await, Some(TailItem::Line(101, _))));
    assert_eq!(
        tail_overflow(1_101, 1_400_000_000_000_000),
        "L11 (Tail buffer overflow) -> This tail session dropped 1101 messages since 2014-05-13T16:53:20+00:00"
    );
}

#[tokio::test]
async fn a_quiet_app_holds_no_lines_in_memory_and_reads_the_same() {
    let f = Fixture::new().await;
    for n in 1..=10 {
        f.print(&format!("line {n}"));
    }
    let mut tail = f.logs.tail(f.app, Filter::default(), 0, None).await.unwrap();
    f.logs.flush().await;
    f.clock.advance(SWEEP * 2);
    f.logs.inner.sweep().await;
    assert_eq!(f.logs.inner.app(f.app).ring().first(), 11);
    assert_eq!(f.logs.inner.apps.awake(), 1, "the tail holds it");
    assert_eq!(f.recent(&Filter::default(), 100).await, named(1..=10));
    f.print("line 11");
    assert!(matches!(tail.next().await, Some(TailItem::Line(11, _))), "a tail misses nothing by the rest");
}

#[tokio::test]
async fn a_forgotten_app_has_no_lines_and_no_tails() {
    let f = Fixture::new().await;
    f.print("line 1");
    let mut tail = f.logs.tail(f.app, Filter::default(), 10, None).await.unwrap();
    f.logs.forget(f.app).await.unwrap();
    assert!(matches!(tail.next().await, Some(TailItem::Line(1, _))));
    assert!(tail.next().await.is_none());
    f.logs.flush().await;
    assert!(f.recent(&Filter::default(), 10).await.is_empty());
}
