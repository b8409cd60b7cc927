//! Heroku's error codes: what an app's log says when something fails (heroku.md 3).

/// A failure of an app as its log names it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ErrorCode {
    H10,
    H11,
    H12,
    H13,
    H14,
    H15,
    H17,
    H18,
    H19,
    H20,
    H21,
    H22,
    H25,
    H26,
    H27,
    H28,
    H31,
    H80,
    H81,
    H82,
    H99,
    R10,
    R12,
    R13,
    R14,
    R15,
    R16,
    R99,
}

impl ErrorCode {
    /// The `code=` value.
    pub fn as_str(self) -> &'static str {
        use ErrorCode::*;
        match self {
            H10 => "H10",
            H11 => "H11",
            H12 => "H12",
            H13 => "H13",
            H14 => "H14",
            H15 => "H15",
            H17 => "H17",
            H18 => "H18",
            H19 => "H19",
            H20 => "H20",
            H21 => "H21",
            H22 => "H22",
            H25 => "H25",
            H26 => "H26",
            H27 => "H27",
            H28 => "H28",
            H31 => "H31",
            H80 => "H80",
            H81 => "H81",
            H82 => "H82",
            H99 => "H99",
            R10 => "R10",
            R12 => "R12",
            R13 => "R13",
            R14 => "R14",
            R15 => "R15",
            R16 => "R16",
            R99 => "R99",
        }
    }

    /// The `desc=` text of a router line, or the words in brackets of an R line.
    pub fn description(self) -> &'static str {
        use ErrorCode::*;
        match self {
            H10 => "App crashed",
            H11 => "Backlog too deep",
            H12 => "Request timeout",
            H13 => "Connection closed without response",
            H14 => "No web processes running",
            H15 => "Idle connection",
            H17 => "Poorly formatted HTTP response",
            H18 => "Server Request Interrupted",
            H19 => "Backend connection timeout",
            H20 => "App boot timeout",
            H21 => "Backend connection refused",
            H22 => "Connection limit reached",
            H25 => "HTTP restriction",
            H26 => "Request Error",
            H27 => "Client Request Interrupted",
            H28 => "Client Connection Idle",
            H31 => "Misdirected Request",
            H80 => "Maintenance mode",
            H81 => "Blank app",
            H82 => "Free dyno quota exhausted",
            H99 => "Platform error",
            R10 => "Boot timeout",
            R12 => "Exit timeout",
            R13 => "Attach error",
            R14 => "Memory quota exceeded",
            R15 => "Memory quota vastly exceeded",
            R16 => "Detached",
            R99 => "Platform error",
        }
    }

    /// The `at=` word of a router line.
    pub fn level(self) -> &'static str {
        use ErrorCode::*;
        match self {
            H27 | H28 => "warning",
            H80 | H81 | H82 => "info",
            _ => "error",
        }
    }

    /// The status the visitor gets.
    pub fn status(self) -> u16 {
        use ErrorCode::*;
        match self {
            H25 => 502,
            H26 => 400,
            H27 | H28 => 499,
            H31 => 421,
            _ => 503,
        }
    }
}
