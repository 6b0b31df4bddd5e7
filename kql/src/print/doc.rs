//! Layout: a document says where lines may break, the renderer breaks those that would be too long.
//!
//! The method is that of Wadler's "A prettier printer", with what comments need besides: a group that holds a comment
//! breaks, and a comment at a line's end waits until the line is full.

/// The longest line, in characters, that is made where there is a choice.
const WIDTH: usize = 100;
/// The columns of one level.
const INDENT: usize = 4;

/// A text with places where it may break.
#[derive(Debug)]
pub(super) enum Doc {
    /// A piece that is never broken, though it may hold line breaks of its own: those of a string.
    Text(String),
    /// A blank, or a line break where its group does not fit.
    Line,
    /// Nothing, or a line break where its group does not fit.
    SoftLine,
    /// A line break.
    HardLine,
    /// An empty line.
    Blank,
    /// One after the other.
    Concat(Vec<Doc>),
    /// One level deeper.
    Indent(Box<Doc>),
    /// Breaks all its own lines or none; `broken` says that it holds something that needs a line break.
    Group { content: Box<Doc>, broken: bool },
    /// A comment that ends the line it is in.
    Trailing(String),
    /// A comment with a line of its own.
    Comment(String),
}

impl Doc {
    pub(super) fn nil() -> Doc {
        Doc::Concat(Vec::new())
    }

    pub(super) fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    pub(super) fn indent(content: Doc) -> Doc {
        Doc::Indent(Box::new(content))
    }

    pub(super) fn group(content: Doc) -> Doc {
        let broken = content.must_break();
        Doc::Group { content: Box::new(content), broken }
    }

    /// `open`, the content one level deeper, `close`: on one line, or the content on lines of its own.
    pub(super) fn bracketed(open: &str, content: Doc, close: &str) -> Doc {
        let inner = Doc::indent(Doc::Concat(vec![Doc::SoftLine, content]));
        Doc::group(Doc::Concat(vec![Doc::text(open), inner, Doc::SoftLine, Doc::text(close)]))
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Doc::Concat(parts) if parts.is_empty())
    }

    /// Whether a line break in it cannot be avoided.
    pub(super) fn must_break(&self) -> bool {
        match self {
            Doc::HardLine | Doc::Blank | Doc::Trailing(_) | Doc::Comment(_) => true,
            Doc::Text(_) | Doc::Line | Doc::SoftLine => false,
            Doc::Concat(parts) => parts.iter().any(Doc::must_break),
            Doc::Indent(content) => content.must_break(),
            Doc::Group { broken, .. } => *broken,
        }
    }

    /// The text, each line of it without blanks at its end.
    pub(super) fn render(&self) -> String {
        let mut renderer = Renderer::default();
        // What is still to be written, the next one last: its level, and whether its lines break.
        let mut rest: Vec<(usize, bool, &Doc)> = vec![(0, true, self)];
        while let Some((level, breaks, doc)) = rest.pop() {
            match doc {
                Doc::Text(text) => renderer.text(text),
                Doc::Line if !breaks => renderer.text(" "),
                Doc::SoftLine if !breaks => {}
                Doc::Line | Doc::SoftLine | Doc::HardLine => renderer.new_line(level),
                Doc::Blank => renderer.blank(level),
                Doc::Concat(parts) => rest.extend(parts.iter().rev().map(|part| (level, breaks, part))),
                Doc::Indent(content) => rest.push((level + INDENT, breaks, content)),
                Doc::Group { content, broken } => {
                    let breaks = *broken || !fits(content, WIDTH.checked_sub(renderer.column()), &rest);
                    rest.push((level, breaks, content));
                }
                Doc::Trailing(text) => renderer.trailing(text, level),
                Doc::Comment(text) => renderer.comment(text, level),
            }
        }
        renderer.finish()
    }
}

/// Whether a document fits on what is left of the line, and with it what follows up to where a line may break.
fn fits(doc: &Doc, left: Option<usize>, rest: &[(usize, bool, &Doc)]) -> bool {
    let Some(mut left) = left else { return false };
    let mut own = vec![doc];
    let mut inside = true;
    let mut after = rest.iter().rev();
    loop {
        let next = match own.pop() {
            Some(next) => next,
            None => match after.next() {
                Some((_, _, next)) => {
                    inside = false;
                    next
                }
                None => return true,
            },
        };
        let width = match next {
            Doc::Text(text) => match text.split_once('\n') {
                Some((first, _)) => return first.chars().count() <= left,
                None => text.chars().take(left + 1).count(),
            },
            Doc::Line if inside => 1,
            Doc::SoftLine if inside => 0,
            Doc::Line | Doc::SoftLine | Doc::HardLine | Doc::Blank | Doc::Comment(_) => return true,
            Doc::Trailing(_) => 0,
            Doc::Concat(parts) => {
                own.extend(parts.iter().rev());
                0
            }
            Doc::Indent(content) | Doc::Group { content, .. } => {
                own.push(content);
                0
            }
        };
        match left.checked_sub(width) {
            Some(fewer) => left = fewer,
            None => return false,
        }
    }
}

#[derive(Default)]
struct Renderer {
    out: String,
    /// Where the line that is being written begins.
    line: usize,
    /// The comment that will end it.
    trailing: Option<String>,
}

impl Renderer {
    fn current(&self) -> &str {
        &self.out[self.line..]
    }

    fn column(&self) -> usize {
        self.current().chars().count()
    }

    fn at_line_start(&self) -> bool {
        self.current().bytes().all(|byte| byte == b' ')
    }

    fn text(&mut self, text: &str) {
        self.out.push_str(text);
        if let Some(last) = text.rfind('\n') {
            self.line = self.out.len() - (text.len() - last - 1);
        }
    }

    fn end_line(&mut self) {
        self.out.truncate(self.line + self.current().trim_end_matches(' ').len());
        if let Some(comment) = self.trailing.take() {
            if !self.current().is_empty() {
                self.out.push(' ');
            }
            self.out.push_str(&comment);
        }
    }

    /// Begins a line, unless one has just begun: that one then has this level.
    fn new_line(&mut self, level: usize) {
        self.end_line();
        if !self.current().is_empty() {
            self.out.push('\n');
            self.line = self.out.len();
        }
        self.out.extend(std::iter::repeat_n(' ', level));
    }

    fn blank(&mut self, level: usize) {
        self.new_line(level);
        self.end_line();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
            self.line = self.out.len();
        }
        self.out.extend(std::iter::repeat_n(' ', level));
    }

    fn trailing(&mut self, text: &str, level: usize) {
        // A line has but one comment.
        if self.trailing.is_some() {
            self.new_line(level);
        }
        self.trailing = Some(text.to_owned());
    }

    fn comment(&mut self, text: &str, level: usize) {
        if !self.at_line_start() || self.trailing.is_some() {
            self.new_line(level);
        }
        self.out.push_str(text);
        self.new_line(level);
    }

    fn finish(mut self) -> String {
        self.end_line();
        self.out.truncate(self.out.trim_end_matches(['\n', ' ']).len());
        self.out
    }
}
