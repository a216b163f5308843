//! RFC 3339 text of a time, written straight into a buffer: every frame has one.

use domain::Timestamp;

/// Appends what `Timestamp`'s `Display` shows: UTC with six fraction digits.
pub fn write(at: Timestamp, out: &mut Vec<u8>) {
    let micros = at.as_micros();
    let (seconds, fraction) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    if !(0..=9999).contains(&year) {
        out.extend_from_slice(at.to_string().as_bytes());
        return;
    }
    digits(year, 4, out);
    out.push(b'-');
    digits(month, 2, out);
    out.push(b'-');
    digits(day, 2, out);
    out.push(b'T');
    digits(second / 3600, 2, out);
    out.push(b':');
    digits(second / 60 % 60, 2, out);
    out.push(b':');
    digits(second % 60, 2, out);
    out.push(b'.');
    digits(fraction, 6, out);
    out.push(b'Z');
}

/// Year, month and day of a day since 1970-01-01, in the proleptic Gregorian calendar: eras of 400 years that begin in
/// March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

fn digits(mut value: i64, count: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + count, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + u8::try_from(value % 10).unwrap_or(0);
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_they_are_displayed() {
        let day = 86_400_000_000_i64;
        let mut times = vec![0, -1, 1, i64::MAX, i64::MIN, 253_402_300_799_999_999];
        for step in 0..20_000_i64 {
            times.push(step * 37 * day / 10 + step * 7_919 - 30_000 * day);
        }
        for micros in times {
            let at = Timestamp::from_micros(micros);
            let mut written = Vec::new();
            write(at, &mut written);
            assert_eq!(
                String::from_utf8(written).unwrap(),
                at.to_string(),
                "{micros}"
            );
        }
    }
}
