//! The digits and times that stand in rendered bytes.

use super::patch::{Patch, SENT_AT_MARKER, digits, unix_micros_digits};

#[test]
fn digits_are_hexadecimal_and_padded() {
    assert_eq!(&digits(0x2f), b"000000000000002f");
}

#[test]
fn time_of_the_write_stands_in_for_its_marker() {
    let patch = Patch::new(format!("a@{SENT_AT_MARKER} b").into_bytes());
    let before = unix_micros_digits();
    let mut out = b"kept ".to_vec();
    patch.write(&digits(1), &mut out);
    let after = unix_micros_digits();
    let (start, rest) = out.split_at(7);
    let (sent, end) = rest.split_at(16);
    assert_eq!((start, end), (&b"kept a@"[..], &b" b"[..]));
    assert!(before.as_slice() <= sent && sent <= after.as_slice());
}
