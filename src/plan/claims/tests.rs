use super::*;

fn parse(text: &str) -> Result<Claims, String> {
    Claims::parse("c.toml", text).map_err(|error| error.to_string())
}

fn embedded() -> Claims {
    Claims::embedded().unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_embedded_ledger_is_read() {
    let claims = embedded().claims;
    assert!(claims.iter().all(|claim| claim.query.is_some() != claim.reason.is_some()));
    let (asked, told): (Vec<&Claim>, Vec<&Claim>) = claims.iter().partition(|claim| claim.query.is_some());
    assert!(asked.len() >= 15 && told.len() >= 3, "{} with a query, {} without", asked.len(), told.len());
}

#[test]
fn nothing_is_cited_that_is_not_here() {
    for claim in embedded().claims {
        let text = format!("{} {} {:?}", claim.promise, claim.whose, claim.reason);
        let words = text.split_whitespace().map(|word| word.trim_end_matches(['.', ',', ';', '"', ')']));
        for word in words {
            let host = [".com", ".org", ".io", ".net", ".dev"].iter().any(|end| word.ends_with(end));
            assert!(!host && !word.contains("://") && !word.starts_with("www."), "{}: {word}", claim.id);
        }
    }
}

#[test]
fn metrics_are_spelled_as_they_are_read() {
    for metric in Metric::ALL {
        let text = format!("\"{}\"", metric.as_str());
        assert_eq!(serde_json::from_str::<Metric>(&text).ok(), Some(metric), "{text}");
    }
}

/// A claim whose query is as given.
fn with(query: &str) -> String {
    format!("[[claims]]\nid = \"c\"\npromise = \"p\"\nwhose = \"w\"\n[claims.query]\n{query}\n")
}

#[test]
fn what_is_wrong_is_named_with_the_claim() {
    let texts = [
        "claims = []".to_owned(),
        "[[claims]]\nid = \"a\"\npromise = \"p\"\nwhose = \"w\"\n".to_owned(),
        "[[claims]]\nid = \"a b\"\npromise = \"p\"\nwhose = \"w\"\nreason = \"r\"\n".to_owned(),
        "[[claims]]\nid = \"a\"\npromise = \" \"\nwhose = \"w\"\nreason = \"r\"\n".to_owned(),
        "[[claims]]\nid = \"a\"\npromise = \"p\"\nwhose = \"w\"\nreason = \"r\"\n".repeat(2),
        with("metric = \"latnecy\"\nbound = { at_most = 1 }"),
        with("metric = \"latency\"\nbound = { at_most = 1 }\nbonus = 1"),
        with("metric = \"latency\"\nbound = { at_most = 1 }"),
        with("metric = \"weight_bytes\"\nbound = {}"),
        with("metric = \"weight_bytes\"\nbound = { at_most = 1, at_least = 2 }"),
        with("metric = \"weight_bytes\"\nbound = { at_most = nan }"),
        with("metric = \"weight_bytes\"\ncells = { models = [\"bird\"] }\nbound = { at_most = 1 }"),
        with("metric = \"weight_bytes\"\ncells = { takes = [\"smell\"] }\nbound = { at_most = 1 }"),
        with("metric = \"weight_bytes\"\ncells = { feature = \"magic\" }\nbound = { at_most = 1 }"),
        with("metric = \"weight_bytes\"\nagainst = {}\nbound = { at_most = 1 }"),
        with("metric = \"weight_bytes\"\nagainst = { precision = \"fp16\" }\nbound = { at_most = 1 }"),
        with(
            "metric = \"weight_bytes\"\ncells = { precisions = [\"int4\"] }\nagainst = { precision = \"fp16\" }\nbound = { at_most = 0 }",
        ),
        with(
            "metric = \"latency\"\ncells = { feature = \"threads\" }\nagainst = { feature = \"threads\" }\nbound = { at_most = 1 }",
        ),
        with(
            "metric = \"latency\"\ncells = { browsers = [\"firefox\"] }\nagainst = { browsers = [\"firefox\"] }\nbound = { at_most = 1 }",
        ),
        with(
            "metric = \"accuracy.cosine\"\ncells = { precisions = [\"int4\"] }\nagainst = { precision = \"fp16\" }\nbound = { at_least = 1 }",
        ),
    ];
    let errors = texts.map(|text| parse(&text).err().unwrap_or_default());
    insta::assert_snapshot!(errors.join("\n"), @r#"
    claims c.toml: no [[claims]]: write one at least
    claims c.toml: claim a: has neither a query nor a reason why there is none: write one
    claims c.toml: claim a b: id: write small letters, digits and -
    claims c.toml: claim a: promise: is empty: write a sentence
    claims c.toml: claim a: there are two of this id: rename one
    claims c.toml: claim c: TOML parse error at line 6, column 10
      |
    6 | metric = "latnecy"
      |          ^^^^^^^^^
    unknown variant `latnecy`, expected one of `latency`, `time_to_first_token`, `tokens_per_second`, `items_per_second`, `phase.module`, `phase.load`, `phase.device`, `phase.compile`, `phase.first`, `phase.start`, `weight_bytes`, `bits_per_weight`, `memory.total`, `memory.cache_per_token`, `accuracy.cosine`, `accuracy.agreement`, `accuracy.divergence`, `perplexity.ratio`
    claims c.toml: claim c: TOML parse error at line 8, column 1
      |
    8 | bonus = 1
      | ^^^^^
    unknown field `bonus`, expected one of `metric`, `cells`, `against`, `bound`
    claims c.toml: claim c: metric latency: a time alone is of one machine: write what it is held against
    claims c.toml: claim c: bound: write at_most, at_least or both
    claims c.toml: claim c: bound: nothing is at least 2 and at most 1: exchange them
    claims c.toml: claim c: bound.at_most: write a number, not NaN
    claims c.toml: claim c: cells.models: unknown model "bird": use one of bert, t5, llama, qwen2, qwen3, clip, vit, clap, whisper, wav2vec2, llava, llava_next, xclip, detr
    claims c.toml: claim c: cells.takes: no class takes "smell": use text, image, audio or video
    claims c.toml: claim c: cells.feature: the harness has no feature "magic" yet: it has threads, threads-N, webnn-host-OP, dp4a, offload, shader-f16, subgroups, lanes-32 … lanes-256, tile-4x4 … tile-128x2, kv-fp16 … kv-int2, weights-SCHEME, relaxed-simd, relaxed-dot, simd128, shaders-ahead, shaders-lazy, parallel-load
    claims c.toml: claim c: against: name one axis that differs: precision, backend, browsers or feature
    claims c.toml: claim c: against.precision: the cells must be of another: write it in cells
    claims c.toml: claim c: bound.at_most: a ratio is above 0, not 0
    claims c.toml: claim c: against.feature: the cells must be of another: write it in cells
    claims c.toml: claim c: against.browsers: the cells must be of another: write it in cells
    claims c.toml: claim c: metric accuracy.cosine: is told against full precision already: leave `against` out
    "#);
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in ".{0,120}") {
        drop(parse(&text));
    }

    #[test]
    fn no_query_panics(metric in "[a-z_.]{0,24}", key in "[a-z]{1,10}", bound in proptest::num::f64::ANY) {
        drop(parse(&with(&format!("metric = \"{metric}\"\n{key} = {{ at_most = {bound} }}\nbound = {{ at_least = {bound} }}"))));
    }

    #[test]
    fn what_is_read_can_be_used(bound in proptest::num::f64::ANY) {
        let text = with(&format!("metric = \"weight_bytes\"\nbound = {{ at_most = {bound:?} }}"));
        proptest::prop_assert_eq!(parse(&text).is_ok(), bound.is_finite());
    }
}
