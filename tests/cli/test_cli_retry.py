"""`--retry` is a word about a resumed run."""


def test_retry_without_resume_is_refused_before_anything_is_made(kindling, tmp_path):
    (tmp_path / "q.txt").write_text("给老师的话\n", encoding="utf-8")
    done = kindling("curate", "q.txt", "--out", "run", "--retry")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "--resume" in done.err
    assert not (tmp_path / "run").exists()
