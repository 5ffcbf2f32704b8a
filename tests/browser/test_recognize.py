def test_probe(made, pictures):
    from cairn.recognize import Recognizer

    r = Recognizer.load(made, backend="torch", device="cpu")
    q = pictures.select("query")
    for p, l in zip(q.paths, q.landmark_ids):
        a = r(Path(p))
        print(l, a.landmark_id, round(a.confidence, 3), a.probability, a.is_known)


from pathlib import Path
