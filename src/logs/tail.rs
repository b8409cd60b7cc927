//! Following a log: the backlog, then new lines as they come. A tail owns nothing but a number;
//! when the ring has moved on, the gap is what it missed.

use std::{collections::VecDeque, sync::Arc};

use crate::logs::{Filter, TailItem, ring::AppLog};
use futures_util::{Stream, stream};

pub(super) struct Tail {
    pub(super) log: Arc<AppLog>,
    pub(super) filter: Filter,
    pub(super) ready: VecDeque<TailItem>,
    /// The number to deliver next.
    pub(super) next: u64,
}

impl Tail {
    pub(super) fn into_stream(self) -> impl Stream<Item = TailItem> + Send + 'static {
        stream::unfold(self, |mut tail| async move {
            let log = tail.log.clone();
            loop {
                if let Some(item) = tail.ready.pop_front() {
                    return Some((item, tail));
                }
                // Before reading: a line appended in between is news.
                let news = log.news();
                if log.is_gone() {
                    return None;
                }
                tail.read();
                if tail.ready.is_empty() {
                    news.await;
                }
            }
        })
    }

    fn read(&mut self) {
        let (first, lines) = self.log.ring().from(self.next);
        if first > self.next {
            self.ready.push_back(TailItem::Dropped(first - self.next));
        }
        self.next = first + lines.len() as u64;
        let matching = (first..).zip(lines).filter(|(_, line)| self.filter.matches(line));
        self.ready.extend(matching.map(|(number, line)| TailItem::Line(number, line)));
    }
}
