//! Field and label selectors of a list, read as the API server reads them (apimachinery pkg/fields/selector.go, pkg/labels/selector.go).
//!
//! Needed because one list option that does not decode makes the API server forget all of them, and with them the name that
//! `metadata.name=x` gives to a list: what we read as "one object" would be "all of them". So what it can't decode is refused.

/// The value that a field selector demands of `metadata.name`, if it demands one.
///
/// # Errors
/// The term that can't be read, or that a second one contradicts.
pub(super) fn exact_name(selector: &str) -> Result<Option<String>, String> {
    let mut name = None;
    for term in split_terms(selector).filter(|term| !term.is_empty()) {
        let (field, equal, raw) = split_term(term).ok_or_else(|| term.to_owned())?;
        let value = unescape(raw).ok_or_else(|| term.to_owned())?;
        if equal && field == "metadata.name" && name.replace(value).is_some() {
            // The server takes the smaller of two, after sorting the raw terms.
            return Err(term.to_owned());
        }
    }
    Ok(name)
}

/// Splits at commas; a backslash protects the character after it and stays.
fn split_terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    selector.split(move |c| {
        if escaped {
            escaped = false;
            return false;
        }
        escaped = c == '\\';
        c == ','
    })
}

/// Left side, whether it demands equality, right side with its escapes. The first operator splits; `!=` and `==` before `=`.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.find('=')?;
    let (left, right) = (term.get(..at)?, term.get(at + 1..)?);
    if let Some(field) = left.strip_suffix('!') {
        return Some((field, false, right));
    }
    Some((left, true, right.strip_prefix('=').unwrap_or(right)))
}

fn unescape(raw: &str) -> Option<String> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => value.push(rest.next().filter(|c| matches!(c, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            other => value.push(other),
        }
    }
    Some(value)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    /// `in` and `notin`, which may also be values.
    Set(&'a str),
    Comma,
    Open,
    Close,
    Not,
    /// `=`, `==`, `!=`.
    Equality,
    /// `>`, `<`.
    Order,
}

/// Whether the API server can decode this label selector.
pub(super) fn is_label_selector(selector: &str) -> bool {
    tokens(selector).is_some_and(|tokens| Labels(&tokens).all())
}

/// `None` where Go's lexer gives an error, or would go on in a way that is easy to misread (`=!`, `===`).
fn tokens(selector: &str) -> Option<Vec<Token<'_>>> {
    let special = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<');
    let space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let mut rest = selector.trim_matches(space);
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let length = if special(first) {
            if rest.starts_with("==") || rest.starts_with("!=") { 2 } else { 1 }
        } else {
            rest.find(|c| special(c) || space(c)).unwrap_or(rest.len())
        };
        let (text, after) = rest.split_at_checked(length)?;
        tokens.push(match text {
            "=" | "==" | "!=" => Token::Equality,
            ">" | "<" => Token::Order,
            "!" => Token::Not,
            "(" => Token::Open,
            ")" => Token::Close,
            "," => Token::Comma,
            "in" | "notin" => Token::Set(text),
            word => Token::Word(word),
        });
        rest = after.trim_start_matches(space);
    }
    Some(tokens)
}

/// Recursive descent over what is left of the tokens. Each function consumes what it accepts.
struct Labels<'a>(&'a [Token<'a>]);

impl<'a> Labels<'a> {
    fn next(&mut self) -> Option<Token<'a>> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn all(mut self) -> bool {
        if self.0.is_empty() {
            return true;
        }
        loop {
            if self.requirement().is_none() {
                return false;
            }
            match self.next() {
                None => return true,
                // "a," is an error in Go too: a requirement must follow.
                Some(Token::Comma) => {}
                Some(_) => return false,
            }
        }
    }

    fn requirement(&mut self) -> Option<()> {
        let negated = self.0.first() == Some(&Token::Not);
        if negated {
            self.next();
        }
        let (Token::Word(key) | Token::Set(key)) = self.next()? else {
            return None;
        };
        if !is_label_key(key) {
            return None;
        }
        match self.0.first() {
            None | Some(Token::Comma) => return Some(()),
            // Go overwrites "!" by the operator that follows. No person means that; not read.
            Some(_) if negated => return None,
            Some(_) => {}
        }
        match self.next()? {
            Token::Set(_) => self.set(),
            Token::Equality => match self.0.first() {
                None | Some(Token::Comma) => Some(()),
                Some(_) => self.value().filter(|value| is_label_value(value)).map(|_| ()),
            },
            Token::Order => {
                self.value().filter(|value| is_label_value(value) && value.parse::<i64>().is_ok()).map(|_| ())
            }
            Token::Word(_) | Token::Comma | Token::Open | Token::Close | Token::Not => None,
        }
    }

    fn value(&mut self) -> Option<&'a str> {
        match self.next()? {
            Token::Word(value) | Token::Set(value) => Some(value),
            Token::Comma | Token::Open | Token::Close | Token::Not | Token::Equality | Token::Order => None,
        }
    }

    /// `(a,b,,c)`: values may be empty.
    fn set(&mut self) -> Option<()> {
        if self.next()? != Token::Open {
            return None;
        }
        let mut may_be_word = true;
        loop {
            match self.next()? {
                Token::Close => return Some(()),
                Token::Comma => may_be_word = true,
                Token::Word(value) | Token::Set(value) if may_be_word && is_label_value(value) => may_be_word = false,
                Token::Word(_) | Token::Set(_) | Token::Open | Token::Not | Token::Equality | Token::Order => {
                    return None;
                }
            }
        }
    }
}

fn is_label_key(key: &str) -> bool {
    match key.split_once('/') {
        None => is_label_name(key),
        Some((prefix, name)) => is_subdomain(prefix) && is_label_name(name),
    }
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_label_name(value)
}

/// `[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?`, at most 63 bytes.
fn is_label_name(name: &str) -> bool {
    name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// DNS-1123 subdomain, at most 253 bytes.
pub(super) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_dns_label)
}

/// DNS-1123 label without its bound of 63 bytes: `[a-z0-9]([-a-z0-9]*[a-z0-9])?`.
pub(super) fn is_dns_label(label: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    label.chars().all(|c| plain(c) || c == '-') && label.starts_with(plain) && label.ends_with(plain)
}
