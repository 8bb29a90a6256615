//! What the published papers and code count, our expansion counts too; and tokens, notation and architectures agree.

use mnas::network::Network;
use mnas::space::{self, Architecture, Space};
use proptest::prelude::*;

/// Every "counted" figure of the literature: name, parameters, multiply-adds, as printed.
const COUNTED: &[(&str, &str, &str)] = &[
    ("mnasnet-a1", "3.887M", "311.58M"),
    ("mnasnet-a1@1.4", "6.106M", "586.32M"),
    ("mnasnet-a1@0.75", "2.912M", "223.45M"),
    ("mnasnet-a1@0.5", "2.082M", "103.16M"),
    ("mnasnet-a1@0.35", "1.747M", "61.68M"),
    ("mnasnet-a1/96", "3.887M", "58.48M"),
    ("mnasnet-b1", "4.383M", "314.42M"),
    ("mnasnet-small", "2.030M", "68.34M"),
    ("mobilenet-v2@1.4", "6.109M", "582.20M"),
    ("mobilenet-v2", "3.505M", "300.77M"),
    ("mobilenet-v2@0.75", "2.636M", "209.07M"),
    ("mobilenet-v2@0.5", "1.969M", "97.13M"),
    ("mobilenet-v2@0.35", "1.677M", "59.29M"),
    ("efficientnet-lite0", "4.652M", "385.19M"),
];

#[test]
fn the_reference_networks_have_the_published_counts() {
    for (name, parameters, madds) in COUNTED {
        let network = Network::expand(&space::parse(name).unwrap()).unwrap();
        let found =
            (format!("{:.3}M", network.parameters() as f64 / 1e6), format!("{:.2}M", network.madds() as f64 / 1e6));
        assert_eq!(found, (parameters.to_string(), madds.to_string()), "{name}");
    }
}

#[test]
fn mobilenet_v1_has_its_569_million_multiply_adds_and_4_2_million_parameters() {
    let network = Network::expand(&space::parse("mobilenet-v1").unwrap()).unwrap();
    assert_eq!(network.madds() / 1_000_000, 568);
    assert_eq!(network.parameters() / 10_000, 423);
}

/// A space in which every list has several entries and expansions are a choice of their own.
const WILD: &str = r#"
name = "wild"
input_size = 32
stem = 8
head = 0
classes = 10
[[block]]
stride = 2
op = ["mbconv"]
expansion = [1, 4, 6]
kernel = [3, 5, 7]
se_ratio = [0.0, 0.25, 0.5]
skip = ["identity", "pool"]
filters = [8, 12]
layers = [2]
[[block]]
stride = 1
op = ["conv", "mbconv2"]
kernel = [1, 3]
filters = [16]
layers = [1, 2]
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn tokens_architectures_and_notation_are_three_views_of_one_thing(seed: u64, which in 0..4usize) {
        let space = match which {
            0 => Space::preset("mnasnet").unwrap(),
            1 => Space::preset("mnasnet-small").unwrap(),
            2 => Space::preset("demo").unwrap(),
            _ => Space::from_toml(WILD, "wild").unwrap(),
        };
        let tokens = space.sample(&mut mnas::seeded(seed));
        let architecture = space.decode(&tokens).unwrap();
        prop_assert_eq!(space.encode(&architecture).unwrap(), tokens);
        let line = architecture.to_string();
        prop_assert_eq!(line.parse::<Architecture>().unwrap(), architecture, "{}", line);
    }

    #[test]
    fn any_text_is_parsed_or_refused_with_a_column_inside_it(text in "[ a-z0-9_=.é]{0,60}") {
        if let Err(error) = text.parse::<Architecture>() {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{}", error);
        }
    }
}

#[test]
fn distinct_tokens_of_a_small_space_are_distinct_architectures_and_size_counts_them_all() {
    let space = Space::from_toml(WILD, "wild").unwrap();
    let sizes = space.token_sizes();
    let mut all = vec![Vec::new()];
    for size in sizes {
        all = all
            .into_iter()
            .flat_map(|tokens: Vec<usize>| (0..size).map(move |t| [tokens.clone(), vec![t]].concat()))
            .collect();
    }
    let lines: std::collections::HashSet<String> =
        all.iter().map(|tokens| space.decode(tokens).unwrap().to_string()).collect();
    assert_eq!(space.size().to_string(), lines.len().to_string());
    assert_eq!(lines.len(), all.len());
}

#[test]
fn the_size_of_the_published_space_is_exact() {
    // Five blocks of 432 choices and two whose layer list has two entries instead of three: 288.
    let expected: u64 = 432u64.pow(5) * 288 * 288;
    assert_eq!(Space::preset("mnasnet").unwrap().size().to_string(), expected.to_string());
}

#[test]
fn a_malformed_line_is_refused_at_its_column() {
    for (line, column, hint) in [
        ("r1_k3_s11_e1_i32_o16 r2_k3_s2x_e6_i16_o24", 29, "strides"),
        ("input=224 r1_k4_s11_e1_i32_o16", 15, "odd"),
        ("r1_k3_s11_e1_i32_o16 r2_k3_s22_e6_i99_o24", 22, "gives 16 channels"),
        ("stem=32 colour=1 r1_k3_s11_e1_i32_o16", 9, "unknown setting"),
        ("r1_k3_s11_i32_o16", 1, "expansion"),
        ("r1_k3_s11_e1_i32_o16_wat", 22, "unknown part 'wat'"),
        ("r1_k3_s11_e1_i32_o16_k5", 22, "already said"),
        ("input=99999999999999999999 r1_k3_s11_e1_i32_o16", 7, "whole number"),
        ("", 1, "no block string"),
    ] {
        let error = line.parse::<Architecture>().unwrap_err();
        assert_eq!(error.column, column, "{line}: {error}");
        assert!(error.problem.contains(hint), "{line}: {error}");
    }
}

#[test]
fn the_published_first_block_of_mnasnet_small_is_read_as_without_residual() {
    let line = "stem=8 r1_k3_s11_e1_i16_o8 r1_k3_s22_e3_i8_o16";
    let architecture: Architecture = line.parse().unwrap();
    assert_eq!(architecture.blocks[0].skip, space::Skip::None);
}

#[test]
fn an_unusable_space_is_refused_with_its_place() {
    for (from, to, hint) in [
        ("kernel = [3, 5, 7]", "kernel = []", "block 1, kernel: the list of choices is empty"),
        ("kernel = [1, 3]", "kernel = [1, 1]", "block 2, kernel: 1 stands twice"),
        ("layers = [1, 2]", "layers = [0]", "block 2, layers: must be from 1 to 100, found 0"),
        ("expansion = [1, 4, 6]", "", "block 1, expansion"),
        ("\"mbconv2\"", "\"mbconvX\"", "unknown operator 'mbconvX'"),
        ("filters = [16]", "filter = [16]", "filter"),
        ("stem = 8", "stem = 0", "stem: must be from 1"),
    ] {
        let error = Space::from_toml(&WILD.replacen(from, to, 1), "wild.toml").unwrap_err().to_string();
        assert!(error.contains(hint) && error.contains("wild.toml"), "{to}: {error}");
    }
}

#[test]
fn a_skip_that_never_acts_makes_no_other_network() {
    let digest = |line: &str| Network::expand(&space::parse(line).unwrap()).unwrap().digest();
    assert_eq!(digest("r1_k3_s22_e6_i32_o24_noskip"), digest("r1_k3_s22_e6_i32_o24"));
    assert_ne!(digest("r2_k3_s22_e6_i32_o24_noskip"), digest("r2_k3_s22_e6_i32_o24"));
}

#[test]
fn peak_memory_is_the_widest_cut_through_the_network() {
    // Stem 112x112x32, expansion to 96 channels: the expansion's input and output live together.
    let network = Network::expand(&space::parse("r1_k3_s22_e3_i32_o8 head=0 classes=10").unwrap()).unwrap();
    assert_eq!(network.peak_activation_bytes(), 112 * 112 * (32 + 96) * 4);
}

/// The line of an architecture in any notation, or what is wrong with it.
fn line(text: &str) -> Result<String, String> {
    space::parse(text).map(|architecture| architecture.to_string()).map_err(|error| error.to_string())
}

#[test]
fn strings_of_timm_mean_what_timm_builds() {
    let a1 = "[['ds_r1_k3_s1_e1_c16_noskip'], ['ir_r2_k3_s2_e6_c24'], ['ir_r3_k5_s2_e3_c40_se0.25'], \
              ['ir_r4_k3_s2_e6_c80'], ['ir_r2_k3_s1_e6_c112_se0.25'], ['ir_r3_k5_s2_e6_c160_se0.25'], ['ir_r1_k3_s1_e6_c320']]";
    let ours = space::parse("mnasnet-a1").unwrap();
    assert_eq!(space::parse(a1).unwrap(), ours);
    let flat = a1.replace(['[', ']', ',', '\''], " ");
    assert_eq!(space::parse(&flat).unwrap(), ours);
    assert_eq!(space::parse(&format!("arch_def = {}", a1.replace('\'', "\""))).unwrap(), ours);
    let over_lines = a1.replace("], [", "],  # a stage\n  [");
    assert_eq!(space::parse(&over_lines).unwrap(), ours);
    for (text, expected) in [
        ("dsa_r2_k3_s2_c24", "r2_k3_s22_e1_i32_o24_noskip_act"),
        ("cn_r2_k3_s1_c32", "r2_k3_s11_e1_i32_o32_noskip_conv"),
        ("cn_r2_k3_s1_c32_skip", "r2_k3_s11_e1_i32_o32_conv"),
        ("k3_r1_s11_e1_i32_o16", "r1_k3_s11_e1_i32_o16"),
        // Within a list only the first string has a stride.
        ("[['ir_r1_k3_s2_e6_c24', 'ir_r2_k5_s2_e3_c24']]", "r1_k3_s22_e6_i32_o24 r2_k5_s11_e3_i24_o24"),
        ("[['ir_r1_k3_s2_e6_c24'], ['ir_r2_k5_s2_e3_c24']]", "r1_k3_s22_e6_i32_o24 r2_k5_s22_e3_i24_o24"),
        // An expansion to as many channels is a convolution all the same.
        ("ir_r1_k3_s2_e1_c16", "r1_k1_s11_e1_i32_o32_noskip_conv r1_k3_s22_e1_i32_o16_noskip"),
        // The strings of MnasNet's own code come in lists, too.
        (
            "['r1_k3_s11_e1_i32_o16_noskip', 'r2_k3_s22_e6_i16_o24',]",
            "r1_k3_s11_e1_i32_o16_noskip r2_k3_s22_e6_i16_o24",
        ),
    ] {
        assert_eq!(line(text).unwrap(), format!("input=224 stem=32 {expected} head=1280 classes=1000"), "{text}");
    }
    let relu6 = line("input=192 ds_r1_k3_s1_c16_nr6 ir_r1_k3_s2_e6_c24_nr6").unwrap();
    assert!(relu6.starts_with("input=192 stem=32 act=relu6 "), "{relu6}");
    assert!(line("act=relu6 ds_r1_k3_s1_c16 ir_r1_k3_s2_e6_c24_nr6").unwrap().contains("act=relu6"));
}

#[test]
fn what_timm_has_and_this_space_has_not_is_refused_by_its_token() {
    for (text, hints) in [
        ("ds_r1_k3_s1_c16 er_r1_k3_s2_e4_c24", vec!["column 17", "'er'", "ds, dsa, ir and cn"]),
        ("ds_r1_k3_s1_c16_nhs", vec!["'nhs'", "nre and nr6"]),
        ("ir_r1_k3.5_s1_e6_c16", vec!["'k3.5'", "mixes kernels"]),
        ("ir_r1_k3_s1_e4.5_c16", vec!["'e4.5'"]),
        ("ir_r1_k3_s22_e6_c16", vec!["'s22'", "s1 or s2"]),
        ("ir_r1_k3_s1_e6_c20", vec!["'c20'", "c24"]),
        ("ir_r2_k3_s1_e1_c16", vec!["skip around an expansion"]),
        ("ds_r1_k3_s1_e6_c16", vec!["e6", "no expansion"]),
        ("cn_r1_k3_s1_c16_se0.25", vec!["no gate"]),
        ("ir_r1_k3_s1_c16", vec!["lacks its expansion"]),
        ("ir_r1_a3_k3_s1_e6_c16", vec!["'a3'"]),
        ("ds_r1_k3_s1_c16_nre ir_r1_k3_s2_e6_c24_nr6", vec!["one activation"]),
        ("ds_r1_k3_s1_c16 ir_r1_k3_s2_e6_c24_nr6", vec!["column 17", "one activation"]),
        ("[['ds_r1_k3_s1_c16']", vec!["not closed"]),
        ("['ds_r1_k3_s1_c16']]", vec!["closes nothing"]),
    ] {
        let error = line(text).unwrap_err();
        assert!(hints.iter().all(|hint| error.contains(hint)), "{text}: {error}");
    }
}

#[test]
fn what_a_line_says_twice_or_against_itself_is_refused() {
    for (text, hint) in [
        ("input=192 input=128 r1_k3_s11_e1_i32_o16", "column 11: 'input' is set twice"),
        ("act=relu r1_k3_s11_e1_i32_o16 act=relu", "'act' is set twice"),
        ("r1_k3_s11_e1_i32_o16_conv_conv", "already said"),
        ("r1_k3_s11_e1_i32_o16 r1_k3_s11_e1_i24_o16", "says i24, but the block before gives 16"),
        ("r1_k3_s11_e1_i16_o16", "says i16, but the stem gives 32 channels (stem=16 would)"),
        ("r2_k3_s11_e1_i16_o24", "says i16, but the stem gives 32"),
    ] {
        let error = line(text).unwrap_err();
        assert!(error.contains(hint), "{text}: {error}");
    }
    let published = line("stem=8 r1_k3_s11_e1_i16_o8 r1_k3_s22_e3_i8_o16").unwrap();
    assert!(published.contains("r1_k3_s11_e1_i8_o8_noskip"), "as MnasNet's code reads its own string: {published}");
}

#[test]
fn reference_networks_are_known_in_any_spelling() {
    for (text, expected) in [
        ("MobileNet_V2", "mobilenet-v2"),
        ("mobilenetv2", "mobilenet-v2"),
        ("MnasNet A1", "mnasnet-a1"),
        ("EfficientNet_Lite0/192", "efficientnet-lite0/192"),
        ("mobilenet_v1_0.25_128", "mobilenet-v1@0.25/128"),
    ] {
        assert_eq!(space::parse(text).unwrap(), space::parse(expected).unwrap(), "{text}");
    }
    assert!(line("mobilenet_v3").unwrap_err().starts_with("no reference network 'mobilenet_v3'"));
}
