//! Units of measure. Each has one name, compared exactly.
//!
//! Kusto calculates with the factors that Units.NET had in the middle of 2022. Some of them are rounded,
//! and stay so here: better ones would give other results than Kusto's.

use std::f64::consts::PI;

use super::{Function, Row, eval};
use crate::value::Value;

const SIGNATURE: &str = "(value: real, from: string, to: string) -> real";

/// In degrees. The tilt is not among them, as it is not proportional to the angle.
const ANGLES: &[(&str, f64)] = &[
    ("Arcminute", 1.0 / 60.0),
    ("Arcsecond", 1.0 / 3600.0),
    ("Centiradian", 0.01 * 180.0 / PI),
    ("Deciradian", 0.1 * 180.0 / PI),
    ("Degree", 1.0),
    ("Gradian", 0.9),
    ("Microdegree", 1e-6),
    ("Microradian", 1e-6 * 180.0 / PI),
    ("Millidegree", 0.001),
    ("Milliradian", 0.001 * 180.0 / PI),
    ("Nanodegree", 1e-9),
    ("Nanoradian", 1e-9 * 180.0 / PI),
    ("NatoMil", 9.0 / 160.0),
    ("Radian", 180.0 / PI),
    ("Revolution", 360.0),
];

/// In joules.
const ENERGIES: &[(&str, f64)] = &[
    ("BritishThermalUnit", 1055.05585262),
    ("Calorie", 4.184),
    ("DecathermEc", 10.0 * 1.05505585262e8),
    ("DecathermImperial", 10.0 * 1.05505585257348e8),
    ("DecathermUs", 10.0 * 1.054804e8),
    ("ElectronVolt", 1.602176565e-19),
    ("Erg", 1e-7),
    ("FootPound", 1.355817948),
    ("GigabritishThermalUnit", 1e9 * 1055.05585262),
    ("GigaelectronVolt", 1e9 * 1.602176565e-19),
    ("Gigajoule", 1e9),
    ("GigawattDay", 1e9 * 24.0 * 3600.0),
    ("GigawattHour", 1e9 * 3600.0),
    ("HorsepowerHour", 2.6845195377e6),
    ("Joule", 1.0),
    ("KilobritishThermalUnit", 1000.0 * 1055.05585262),
    ("Kilocalorie", 1000.0 * 4.184),
    ("KiloelectronVolt", 1000.0 * 1.602176565e-19),
    ("Kilojoule", 1000.0),
    ("KilowattDay", 1000.0 * 24.0 * 3600.0),
    ("KilowattHour", 1000.0 * 3600.0),
    ("MegabritishThermalUnit", 1e6 * 1055.05585262),
    ("Megacalorie", 1e6 * 4.184),
    ("MegaelectronVolt", 1e6 * 1.602176565e-19),
    ("Megajoule", 1e6),
    ("MegawattDay", 1e6 * 24.0 * 3600.0),
    ("MegawattHour", 1e6 * 3600.0),
    ("Millijoule", 0.001),
    ("TeraelectronVolt", 1e12 * 1.602176565e-19),
    ("TerawattDay", 1e12 * 24.0 * 3600.0),
    ("TerawattHour", 1e12 * 3600.0),
    ("ThermEc", 1.05505585262e8),
    ("ThermImperial", 1.05505585257348e8),
    ("ThermUs", 1.054804e8),
    ("WattDay", 24.0 * 3600.0),
    ("WattHour", 3600.0),
];

/// In newtons.
const FORCES: &[(&str, f64)] = &[
    ("Decanewton", 10.0),
    ("Dyn", 1e-5),
    ("KilogramForce", 9.80665002864),
    ("Kilonewton", 1000.0),
    ("KiloPond", 9.80665002864),
    ("KilopoundForce", 1000.0 * 4.448221615260509),
    ("Meganewton", 1e6),
    ("Micronewton", 1e-6),
    ("Millinewton", 0.001),
    ("Newton", 1.0),
    ("OunceForce", 0.2780138509537812),
    ("Poundal", 0.1382550279897304),
    ("PoundForce", 4.448221615260509),
    ("ShortTonForce", 8896.443230521),
    ("TonneForce", 1000.0 * 9.80665002864),
];

/// In metres.
const LENGTHS: &[(&str, f64)] = &[
    ("Angstrom", 1e-10),
    ("AstronomicalUnit", 1.495978707e11),
    ("Centimeter", 0.01),
    ("Chain", 20.1168),
    ("DataMile", 1828.8),
    ("Decameter", 10.0),
    ("Decimeter", 0.1),
    ("DtpPica", 1.0 / 236.220472441),
    ("DtpPoint", 0.0254 / 72.0),
    ("Fathom", 1.8288),
    ("Foot", 0.3048),
    ("Hand", 0.1016),
    ("Hectometer", 100.0),
    ("Inch", 0.0254),
    ("KilolightYear", 1000.0 * 9.46073047258e15),
    ("Kilometer", 1000.0),
    ("Kiloparsec", 1000.0 * 3.08567758128e16),
    ("LightYear", 9.46073047258e15),
    ("MegalightYear", 1e6 * 9.46073047258e15),
    ("Megaparsec", 1e6 * 3.08567758128e16),
    ("Meter", 1.0),
    ("Microinch", 2.54e-8),
    ("Micrometer", 1e-6),
    ("Mil", 2.54e-5),
    ("Mile", 1609.34),
    ("Millimeter", 0.001),
    ("Nanometer", 1e-9),
    ("NauticalMile", 1852.0),
    ("Parsec", 3.08567758128e16),
    ("PrinterPica", 1.0 / 237.106301584),
    ("PrinterPoint", 0.0254 / 72.27),
    ("Shackle", 27.432),
    ("SolarRadius", 6.9551e8),
    ("Twip", 1.0 / 56692.913385826),
    ("UsSurveyFoot", 1200.0 / 3937.0),
    ("Yard", 0.9144),
];

/// In kilograms.
const MASSES: &[(&str, f64)] = &[
    ("Centigram", 1e-5),
    ("Decagram", 0.01),
    ("Decigram", 1e-4),
    ("EarthMass", 5.9722e24),
    ("Grain", 1.0 / 15432.358352941432),
    ("Gram", 0.001),
    ("Hectogram", 0.1),
    ("Kilogram", 1.0),
    ("Kilopound", 1000.0 * 0.45359237),
    ("Kilotonne", 1e6),
    ("LongHundredweight", 1.0 / 0.01968413055222121),
    ("LongTon", 1016.0469088),
    ("Megapound", 1e6 * 0.45359237),
    ("Megatonne", 1e9),
    ("Microgram", 1e-9),
    ("Milligram", 1e-6),
    ("Nanogram", 1e-12),
    ("Ounce", 1.0 / 35.2739619),
    ("Pound", 0.45359237),
    ("ShortHundredweight", 1.0 / 0.022046226218487758),
    ("ShortTon", 907.18474),
    ("Slug", 1.0 / 0.06852176556196105),
    ("SolarMass", 1.98947e30),
    ("Stone", 1.0 / 0.1574731728702698),
    ("Tonne", 1000.0),
];

/// In metres per second.
const SPEEDS: &[(&str, f64)] = &[
    ("CentimeterPerHour", 0.01 / 3600.0),
    ("CentimeterPerMinute", 0.01 / 60.0),
    ("CentimeterPerSecond", 0.01),
    ("DecimeterPerMinute", 0.1 / 60.0),
    ("DecimeterPerSecond", 0.1),
    ("FootPerHour", 0.3048 / 3600.0),
    ("FootPerMinute", 0.3048 / 60.0),
    ("FootPerSecond", 0.3048),
    ("InchPerHour", 0.0254 / 3600.0),
    ("InchPerMinute", 0.0254 / 60.0),
    ("InchPerSecond", 0.0254),
    ("KilometerPerHour", 1000.0 / 3600.0),
    ("KilometerPerMinute", 1000.0 / 60.0),
    ("KilometerPerSecond", 1000.0),
    ("Knot", 0.514444),
    ("MeterPerHour", 1.0 / 3600.0),
    ("MeterPerMinute", 1.0 / 60.0),
    ("MeterPerSecond", 1.0),
    ("MicrometerPerMinute", 1e-6 / 60.0),
    ("MicrometerPerSecond", 1e-6),
    ("MilePerHour", 0.44704),
    ("MillimeterPerHour", 0.001 / 3600.0),
    ("MillimeterPerMinute", 0.001 / 60.0),
    ("MillimeterPerSecond", 0.001),
    ("NanometerPerMinute", 1e-9 / 60.0),
    ("NanometerPerSecond", 1e-9),
    ("UsSurveyFootPerHour", 1200.0 / 3937.0 / 3600.0),
    ("UsSurveyFootPerMinute", 1200.0 / 3937.0 / 60.0),
    ("UsSurveyFootPerSecond", 1200.0 / 3937.0),
    ("YardPerHour", 0.9144 / 3600.0),
    ("YardPerMinute", 0.9144 / 60.0),
    ("YardPerSecond", 0.9144),
];

/// A degree in kelvins, and the kelvins at which the scale has its zero.
const TEMPERATURES: &[(&str, f64, f64)] = &[
    ("DegreeCelsius", 1.0, 273.15),
    ("DegreeDelisle", -2.0 / 3.0, 373.15),
    ("DegreeFahrenheit", 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    ("DegreeNewton", 100.0 / 33.0, 273.15),
    ("DegreeRankine", 5.0 / 9.0, 0.0),
    ("DegreeReaumur", 5.0 / 4.0, 273.15),
    ("DegreeRoemer", 40.0 / 21.0, 273.15 - 7.5 * 40.0 / 21.0),
    ("Kelvin", 1.0, 0.0),
    ("MillidegreeCelsius", 0.001, 273.15),
    ("SolarTemperature", 5778.0, 0.0),
];

/// In cubic metres. A prefix counts the unit as a whole: a hectocubic metre is a hundred cubic metres.
const VOLUMES: &[(&str, f64)] = &[
    ("AcreFoot", 1.0 / 0.000810714),
    ("AuTablespoon", 2e-5),
    ("BoardFoot", 0.0023597372158),
    ("Centiliter", 1e-5),
    ("CubicCentimeter", 1e-6),
    ("CubicDecimeter", 0.001),
    ("CubicFoot", 0.028316846592),
    ("CubicHectometer", 1e6),
    ("CubicInch", 1.6387e-5),
    ("CubicKilometer", 1e9),
    ("CubicMeter", 1.0),
    ("CubicMicrometer", 1e-18),
    ("CubicMile", 4.16818182544058e9),
    ("CubicMillimeter", 1e-9),
    ("CubicYard", 0.764554858),
    ("Decaliter", 0.01),
    ("DecausGallon", 10.0 * 0.00378541),
    ("Deciliter", 1e-4),
    ("DeciusGallon", 0.1 * 0.00378541),
    ("HectocubicFoot", 100.0 * 0.028316846592),
    ("HectocubicMeter", 100.0),
    ("Hectoliter", 0.1),
    ("HectousGallon", 100.0 * 0.00378541),
    ("ImperialBeerBarrel", 0.16365924),
    ("ImperialGallon", 0.0045460900000018145),
    ("ImperialOunce", 2.84130624999629e-5),
    ("ImperialPint", 5.6826125e-4),
    ("KilocubicFoot", 1000.0 * 0.028316846592),
    ("KilocubicMeter", 1000.0),
    ("KiloimperialGallon", 1000.0 * 0.0045460900000018145),
    ("Kiloliter", 1.0),
    ("KilousGallon", 1000.0 * 0.00378541),
    ("Liter", 0.001),
    ("MegacubicFoot", 1e6 * 0.028316846592),
    ("MegaimperialGallon", 1e6 * 0.0045460900000018145),
    ("Megaliter", 1000.0),
    ("MegausGallon", 1e6 * 0.00378541),
    ("MetricCup", 0.00025),
    ("MetricTeaspoon", 5e-6),
    ("Microliter", 1e-9),
    ("Milliliter", 1e-6),
    ("OilBarrel", 0.158987294928),
    ("UkTablespoon", 1.5e-5),
    ("UsBeerBarrel", 0.1173477658),
    ("UsCustomaryCup", 0.0002365882365),
    ("UsGallon", 0.00378541),
    ("UsLegalCup", 0.00024),
    ("UsOunce", 2.9573529562537606e-5),
    ("UsPint", 4.73176473e-4),
    ("UsQuart", 9.46352946e-4),
    ("UsTablespoon", 1.478676478125e-5),
    ("UsTeaspoon", 4.92892159375e-6),
];

/// A value in another unit, by way of the base unit; none where a unit is not in the table.
fn convert(units: &[(&str, f64)], value: f64, from: &str, to: &str) -> Option<f64> {
    let factor = |name: &str| units.iter().find(|(unit, _)| *unit == name).map(|(_, factor)| *factor);
    let (from_factor, to_factor) = (factor(from)?, factor(to)?);
    // There and back again a value may lose its last digit.
    Some(if from == to { value } else { value * from_factor / to_factor })
}

/// A tilt is the sine of an angle, which a number beyond 1 is not.
fn convert_angle(value: f64, from: &str, to: &str) -> Option<f64> {
    match (from, to) {
        ("Tilt", "Tilt") => Some(value),
        ("Tilt", _) if value.abs() > 1.0 => None,
        ("Tilt", _) => convert(ANGLES, value.asin(), "Radian", to),
        (_, "Tilt") => convert(ANGLES, value, from, "Radian").map(f64::sin),
        _ => convert(ANGLES, value, from, to),
    }
}

fn convert_temperature(value: f64, from: &str, to: &str) -> Option<f64> {
    let find = |name: &str| TEMPERATURES.iter().find(|(unit, ..)| *unit == name);
    let &(_, from_degree, from_zero) = find(from)?;
    let &(_, to_degree, to_zero) = find(to)?;
    Some(if from == to { value } else { (value * from_degree + from_zero - to_zero) / to_degree })
}

fn converted(row: &Row<'_>, work: impl Fn(f64, &str, &str) -> Option<f64>) -> Value<'static> {
    row.real(0).and_then(|value| work(value, row.text(1), row.text(2))).into()
}

/// The units of a table, into one another.
fn by_factor(row: &Row<'_>, units: &[(&str, f64)]) -> Value<'static> {
    converted(row, |value, from, to| convert(units, value, from, to))
}

pub(super) fn functions() -> Vec<Function> {
    vec![
        eval(
            "convert_angle",
            SIGNATURE,
            "An angle in another unit. Null where there is no such unit.",
            ("convert_angle(90, 'Degree', 'Gradian')", "100"),
            |row| converted(row, convert_angle),
        ),
        eval(
            "convert_energy",
            SIGNATURE,
            "An energy in another unit. Null where there is no such unit.",
            ("convert_energy(2, 'KilowattHour', 'Kilojoule')", "7200"),
            |row| by_factor(row, ENERGIES),
        ),
        eval(
            "convert_force",
            SIGNATURE,
            "A force in another unit. Null where there is no such unit.",
            ("convert_force(2, 'KiloPond', 'Newton')", "19.61330005728"),
            |row| by_factor(row, FORCES),
        ),
        eval(
            "convert_length",
            SIGNATURE,
            "A length in another unit. Null where there is no such unit.",
            ("convert_length(2, 'NauticalMile', 'Kilometer')", "3.704"),
            |row| by_factor(row, LENGTHS),
        ),
        eval(
            "convert_mass",
            SIGNATURE,
            "A mass in another unit. Null where there is no such unit.",
            ("convert_mass(2, 'Pound', 'Kilogram')", "0.90718474"),
            |row| by_factor(row, MASSES),
        ),
        eval(
            "convert_speed",
            SIGNATURE,
            "A speed in another unit. Null where there is no such unit.",
            ("convert_speed(36, 'KilometerPerHour', 'MeterPerSecond')", "10"),
            |row| by_factor(row, SPEEDS),
        ),
        eval(
            "convert_temperature",
            SIGNATURE,
            "A temperature on another scale. Null where there is no such scale.",
            ("convert_temperature(25, 'DegreeCelsius', 'Kelvin')", "298.15"),
            |row| converted(row, convert_temperature),
        ),
        eval(
            "convert_volume",
            SIGNATURE,
            "A volume in another unit. Null where there is no such unit.",
            ("convert_volume(3, 'UsGallon', 'CubicMeter')", "0.01135623"),
            |row| by_factor(row, VOLUMES),
        ),
    ]
}
