"""emulated_run.py PONDER MAKE_TINY_MODEL LEARNER_LIBRARY CUDA_LIBRARY: `ponder train` as on a GPU, with the emulated
device in the place of the card: a cold start, two steps of GRPO, a resume, and the first steps' samples replayed."""
import csv
import io
import os
import shutil
import subprocess
import sys
import tempfile


def main():
    ponder, make_tiny_model, learner, cuda = map(os.path.abspath, sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        # The program looks for its libraries where it lies.
        program = os.path.join(folder, "ponder")
        shutil.copy(ponder, program)
        os.symlink(learner, os.path.join(folder, "libponder_learner.so"))
        os.symlink(cuda, os.path.join(folder, "libponder_cuda.so"))
        subprocess.run([make_tiny_model, f"{folder}/tiny", "2"], check=True)
        run = f"{folder}/run"

        def train(*arguments):
            subprocess.run([program, "train", f"{folder}/tiny/run.toml", "--run", run, "--set", "machine.device=cuda",
                            "--set", "rollout.prompts_per_step=3", "--set", "eval.tasks=1", *arguments], check=True)

        train()
        train("--resume", "--set", "run.steps=3")
        exported = subprocess.run([program, "runs", "export", run, "--format", "csv"], check=True, capture_output=True,
                                  text=True).stdout
        rows = list(csv.DictReader(io.StringIO(exported)))
        found = {row["step"]: float(row["exactness/logprob_max_abs_diff"]) for row in rows
                 if row.get("exactness/logprob_max_abs_diff")}
        assert found == {"1": 0.0, "2": 0.0, "3": 0.0}, found
        subprocess.run([program, "replay", run, "--random", "3"], check=True)


if __name__ == "__main__":
    main()
