package testenv_test

import (
	"testing"

	"onsale/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }
