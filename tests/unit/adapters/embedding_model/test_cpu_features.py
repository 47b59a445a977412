from __future__ import annotations

from pathlib import Path

from advanced_rag.adapters.embedding_model.cpu_features import cpu_features

X86 = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: avx2 avx512f avx512_vnni avx512_bf16\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd bf16 i8mm\n"


def test_the_flags_that_decide_are_found(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(X86)
    features = cpu_features(cpuinfo)
    assert features.name == "Some CPU"
    assert features.flags == ("avx2", "avx512f", "avx512_vnni", "avx512_bf16")
    cpuinfo.write_text(ARM)
    assert cpu_features(cpuinfo).flags == ("asimd", "bf16", "i8mm")


def test_like_cpus_have_one_key_and_others_another(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text(X86)
    other.write_text(X86.replace(" avx512_bf16", ""))
    assert cpu_features(one).key == cpu_features(one).key != cpu_features(other).key


def test_a_machine_that_tells_nothing_has_a_key_too(tmp_path: Path) -> None:
    assert cpu_features(tmp_path / "missing").key
