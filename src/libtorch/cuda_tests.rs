//! Each usual case has its own sentence and way out.

use super::*;

/// A machine with a card on which everything is as it should be, except that no card answers.
fn machine() -> Facts {
    Facts {
        has_cuda: true,
        runtime: Some(Version(13000)),
        driver: Some(Version(13010)),
        module: true,
        nodes: vec!["nvidia0".to_owned()],
        smi: Smi::Lists(vec!["NVIDIA L4".to_owned()]),
        ..Facts::default()
    }
}

#[test]
fn every_usual_case_has_its_own_sentence_and_way_out() {
    let bare = Facts { has_cuda: true, runtime: Some(Version(13000)), ..Facts::default() };
    let fails = |why: &str| Facts {
        count: 1,
        failure: Some(("cuda:0 (Tesla K80, 3.7)".to_owned(), why.to_owned())),
        ..machine()
    };
    let visible = |value: &str| Facts { visible: Some(value.to_owned()), ..machine() };
    let cases = [
        (Facts::default(), "on a libtorch without CUDA; on a machine with an NVIDIA card, `scripts/setup"),
        (
            Facts { has_cuda: false, ..machine() },
            "there is a card here (NVIDIA L4), but this program runs on a libtorch without CUDA: it was set up where no card shows, such as a login node",
        ),
        (
            Facts { has_cuda: false, driver: Some(Version(12040)), ..machine() },
            "that is for CUDA 13.0, though, and the driver for CUDA 12.4",
        ),
        (
            Facts { smi: Smi::Fails("no answer within 10 seconds".to_owned()), ..Facts::default() },
            "nvidia-smi is here, but fails (no answer within 10 seconds); and this program runs on a libtorch without CUDA. Once nvidia-smi lists a card, `scripts/setup",
        ),
        (
            Facts { smi: Smi::Lists(Vec::new()), ..Facts::default() },
            "nvidia-smi is here, but lists no card; and",
        ),
        (
            Facts {
                has_cuda: false,
                smi: Smi::Fails("Driver/library version mismatch".to_owned()),
                ..machine()
            },
            "; but nvidia-smi fails (Driver/library version mismatch), which needs to be mended first",
        ),
        (
            Facts { driver: Some(Version(12080)), ..machine() },
            "the driver is too old: it is for CUDA 12.8, and libtorch for CUDA 13.0; install a newer driver, or take a libtorch for an older CUDA",
        ),
        (bare.clone(), "there is no NVIDIA driver here: install it"),
        (
            Facts { container: Some(Container::Docker), ..bare.clone() },
            "this container was started without the card: `docker run --gpus all",
        ),
        (Facts { container: Some(Container::Kubernetes), ..bare.clone() }, "nvidia.com/gpu: 1"),
        (Facts { container: Some(Container::Apptainer), ..bare.clone() }, "`apptainer exec --nv"),
        (
            Facts { container: Some(Container::Docker), nodes: Vec::new(), smi: Smi::Absent, ..machine() },
            "this container was started without the card",
        ),
        (
            Facts { container: Some(Container::Docker), driver: None, ..machine() },
            "the container has no libcuda.so.1: start it with NVIDIA_DRIVER_CAPABILITIES",
        ),
        (Facts { driver: None, ..machine() }, "libcuda.so.1 is not found: install the driver's libraries"),
        (Facts { wsl: true, ..bare }, "install NVIDIA's driver in Windows, and none in Linux"),
        (
            Facts { nodes: Vec::new(), smi: Smi::Absent, ..machine() },
            "/dev has no nvidia0: its kernel module is not loaded",
        ),
        (visible(""), "CUDA_VISIBLE_DEVICES='' hides every card: unset it"),
        (visible("-1"), "CUDA_VISIBLE_DEVICES='-1' hides every card"),
        (visible("3"), "CUDA_VISIBLE_DEVICES='3' hides every card"),
        (Facts { start: 802, ..machine() }, "nvidia-fabricmanager"),
        (Facts { start: 803, ..machine() }, "of different versions"),
        (Facts { start: 804, ..machine() }, "take it out of LD_LIBRARY_PATH"),
        (Facts { start: 999, ..machine() }, "`sudo modprobe nvidia_uvm`"),
        (
            Facts { smi: Smi::Fails("Failed to initialize NVML".to_owned()), ..machine() },
            "nvidia-smi says: Failed to initialize NVML",
        ),
        (
            Facts { start: 100, visible: Some("0".to_owned()), ..machine() },
            "no card answers (it is for CUDA 13.1, and libtorch for CUDA 13.0, error 100)",
        ),
        (
            fails("CUDA error: no kernel image is available for execution on the device"),
            "cuda:0 (Tesla K80, 3.7) is too old or too new for this libtorch, built for CUDA 13.0,",
        ),
        (
            fails("CUDA error: out of memory"),
            "the memory of cuda:0 (Tesla K80, 3.7) is taken by other programs",
        ),
        (
            fails("CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
            "in use by another program that shares it with none",
        ),
        (fails("CUDA error: unspecified launch failure"), "does not compute: CUDA error: unspecified"),
    ];
    let mut sentences = std::collections::BTreeSet::new();
    for (facts, wanted) in &cases {
        let said = explain(facts);
        assert!(said.contains(wanted), "{facts:?}: {said}");
        assert!(!said.contains('\n') && !said.contains("  ") && !said.ends_with('.'), "{said}");
        sentences.insert(said);
    }
    assert!(sentences.len() >= cases.len() - 1, "{sentences:?}"); // one container is without its card in two ways
}

#[test]
fn only_what_speaks_of_a_card_needs_a_reason() {
    assert!(!Facts::default().show_a_card());
    assert!(!Facts { has_cuda: true, visible: Some(String::new()), ..Facts::default() }.show_a_card());
    for facts in [
        Facts { smi: Smi::Fails("no".to_owned()), ..Facts::default() },
        Facts { nodes: vec!["nvidia0".to_owned()], ..Facts::default() },
        Facts { wsl: true, ..Facts::default() },
        Facts { driver: Some(Version(12040)), ..Facts::default() },
        Facts { count: 1, ..Facts::default() },
    ] {
        assert!(facts.show_a_card(), "{facts:?}");
    }
}

#[test]
fn the_cards_of_dev_and_the_kind_of_container_are_found() {
    let root = tempfile::tempdir().unwrap();
    for path in ["dev/nvidia1", "dev/nvidia0", "dev/nvidiactl", "dev/nvidia-uvm", "dev/dxg", ".dockerenv"] {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    let facts = Facts::gather(root.path(), 0, None);
    assert_eq!(facts.nodes, ["nvidia0", "nvidia1"]);
    assert!(facts.wsl && !facts.module);
    let set = ["APPTAINER_CONTAINER", "SINGULARITY_CONTAINER", "KUBERNETES_SERVICE_HOST"];
    if set.iter().all(|name| std::env::var_os(name).is_none()) {
        assert_eq!(facts.container, Some(Container::Docker));
    }
    let empty = tempfile::tempdir().unwrap();
    let facts = Facts::gather(empty.path(), 0, None);
    assert!(facts.nodes.is_empty() && !facts.wsl);
}
