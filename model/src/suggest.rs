//! "Did you mean".

/// The candidate that a mistyped name most likely stands for.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.len().max(name.len()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `; did you mean 'x'?`, or nothing.
pub fn hint<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(name, candidates).map(|found| format!("; did you mean '{found}'?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered_and_a_far_one_is_not() {
        let names = ["AWSCloudTrail", "AzureActivity"];
        assert_eq!(did_you_mean("awscloudtrial", names), Some("AWSCloudTrail"));
        assert_eq!(did_you_mean("Syslog", names), None);
        assert_eq!(hint("AzureActivty", names), "; did you mean 'AzureActivity'?");
    }
}
