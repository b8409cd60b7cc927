//! `heroku run --exit-code` looks for its status line inside one chunk: from U+FFFF (bytes EF BF BF)
//! to the end of its line nothing is cut in two.

const MARK: [u8; 3] = [0xEF, 0xBF, 0xBF];
/// A line that is longer than this is no status line.
const LONGEST: usize = 256;

/// Output on its way, with what is held back of it.
#[derive(Default)]
pub struct Whole {
    held: Vec<u8>,
}

impl Whole {
    /// What may go now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut ready = std::mem::take(&mut self.held);
        ready.extend_from_slice(bytes);
        let from = held_from(&ready);
        self.held = ready.split_off(from);
        ready
    }

    /// What was held back; the end of the output.
    pub fn rest(self) -> Vec<u8> {
        self.held
    }
}

/// The same, cut where a mark begins: a piece that is sent by itself arrives by itself.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let next = rest.windows(MARK.len()).skip(1).position(|three| three == MARK).map_or(rest.len(), |at| at + 1);
        let piece = rest.split_off(..next)?;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Where the part begins that must wait: an unfinished line with the mark in it, or the beginning
/// of a mark at the very end.
fn held_from(bytes: &[u8]) -> usize {
    let line = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
    if let Some(at) = bytes[line..].windows(MARK.len()).position(|three| three == MARK) {
        let from = line + at;
        return if bytes.len() - from > LONGEST { bytes.len() } else { from };
    }
    for beginning in [2, 1] {
        if bytes.ends_with(&MARK[..beginning]) {
            return bytes.len() - beginning;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_arrives_in_one_piece_wherever_it_is_cut() {
        let text = "uno\ndos\u{ffff} heroku-command-exit-status: 7\r\ntres".as_bytes();
        for cut in 0..=text.len() {
            let mut whole = Whole::default();
            let pieces = [whole.push(&text[..cut]), whole.push(&text[cut..])];
            let rest = whole.rest();
            assert_eq!([&pieces[0][..], &pieces[1], &rest].concat(), text, "{cut}");
            let complete = |piece: &[u8]| String::from_utf8_lossy(piece).contains("\u{ffff} heroku-command-exit-status: 7\r\n");
            assert!(pieces.iter().any(|piece| complete(piece)), "{cut}");
        }
    }

    #[test]
    fn a_mark_begins_a_piece() {
        let cut = |text: &str| pieces(text.as_bytes()).map(|piece| String::from_utf8_lossy(piece).into_owned()).collect::<Vec<_>>();
        assert_eq!(cut("uno\n\u{ffff} 7\ndos\u{ffff}"), ["uno\n", "\u{ffff} 7\ndos", "\u{ffff}"]);
        assert_eq!(cut("\u{ffff}\u{ffff}"), ["\u{ffff}", "\u{ffff}"]);
        assert_eq!(cut("uno"), ["uno"]);
        assert!(cut("").is_empty());
    }

    #[test]
    fn other_output_is_not_held_back() {
        let mut whole = Whole::default();
        assert_eq!(whole.push(b"no line end"), b"no line end");
        assert_eq!(whole.push("\u{ffff}".as_bytes()), b"");
        let long = vec![b'x'; LONGEST];
        assert_eq!(whole.push(&long).len(), LONGEST + 3, "a line without end goes at last");
        assert_eq!(whole.rest(), b"");
    }
}
