"""A household room in MuJoCo: a robot, coloured objects, a mat, furniture and a dog in the way."""
