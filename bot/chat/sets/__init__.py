"""What members do with a request that is there: vary an image, ask again otherwise, show it."""
