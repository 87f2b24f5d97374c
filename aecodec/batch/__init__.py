"""Many files: walks folders as a stream, works in several processes and yields each result when it is ready.

    options = BatchOptions(inputs=(Path("photos"),), out_dir=Path("out"), extension="aec", jobs=2)
    for result in run_batch(EncodeJob(quality=40), options):
        ...

For other schedulers, the parts can be used alone: `plan.plan` lists the items of a batch or of one shard, `run.do_item`
does one in the calling process, `made.recording` adds results to the journal by which later plans know what is up to
date, and `results.write_results` writes those of a shard.
"""
