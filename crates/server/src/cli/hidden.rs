//! Which characters a reader cannot see, or sees somewhere else than where they are. It knows Unicode's blocks, and
//! nothing of what is shown.

/// True for what leaves no mark of its own on a terminal, or moves other characters: controls, direction controls
/// (UAX #9), zero-width and filler characters, variation selectors, tags, and line ends other than `\n`.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
        || is_odd_space(character)
}

/// Spaces that look like the common one, or like none.
fn is_odd_space(character: char) -> bool {
    character.is_whitespace() && !matches!(character, ' ' | '\n' | '\t')
        || matches!(character, '\u{2800}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_and_marks_are_seen_and_tricks_are_not() {
        for seen in ['a', ' ', 'é', 'а', '中', '🙂', '\u{301}', '~'] {
            assert!(!is_hidden(seen), "{seen:?}");
        }
        for hidden in [
            '\u{0}',
            '\u{1b}',
            '\r',
            '\u{7f}',
            '\u{85}',
            '\u{a0}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2028}',
            '\u{2060}',
            '\u{2066}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert!(is_hidden(hidden), "{hidden:?}");
        }
    }
}
